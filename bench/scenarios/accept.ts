import { gaugesOf } from '../gauges.ts';
import type { LoadProcess } from '../load-process.ts';
import { startLoad } from '../load-process.ts';
import { createRecorder, type Recorder } from '../result.ts';
import type { Scenario } from '../scenario.ts';
import { type System, startSystem } from '../system.ts';
import { cpuSince, usageOf } from '../usage.ts';

const connections = 128;
/** as many as a batch of the gateway holds at most, and as it has under way */
const limit = { rowsPerTransaction: 256, sessions: 3 };

/** Submissions acknowledged a second, each durable by then, and what PostgreSQL takes of the same rows without us. */
export const accept: Scenario = async ({ servers, load, options, say }) => {
  const { repeats, seconds } = options.quick ? { repeats: 1, seconds: 1.5 } : { repeats: 5, seconds: 6 };
  const times = options.repeats ?? repeats;
  const recorder = createRecorder();
  const failures: string[] = [];
  await using system = await startSystem(servers, { name: 'accept', workers: false });
  // Not that of the gateway: it would publish these rows.
  const bare = await servers.newDatabase('accept_bare');
  await using dropping = new AsyncDisposableStack();
  dropping.defer(() => servers.dropDatabase(bare));
  await using driver = await startLoad('driver', servers.onSpawn);
  const bareRows = (forSeconds: number) =>
    driver.run('bareRows', { databaseUrl: bare.owner, ...limit, seconds: forSeconds });
  const warmUp = await load.run('requests', { url: system.url, kind: 'submit', connections, seconds });
  failures.push(...warmUp.faults);
  await bareRows(1);
  for (let repeat = 1; repeat <= times; repeat += 1) {
    say(`accept: repeat ${repeat} of ${times}`);
    const { perSecond, faults } = await acceptFor(seconds, { system, load, recorder });
    failures.push(...faults);
    const before = await usageOf([servers.postgres, driver.metered]);
    const { stored, seconds: took } = await bareRows(seconds / 2);
    recorder.add("PostgreSQL's limit", 'submissions/s', stored / took);
    for (const [name, microseconds] of await cpuSince(before, [servers.postgres, driver.metered], stored)) {
      recorder.add(`PostgreSQL's limit, CPU of ${name}`, 'µs/submission', microseconds);
    }
    recorder.add("accepted against PostgreSQL's limit", 'ratio', perSecond / (stored / took));
  }
  return { figures: recorder.figures(), plots: [], failures };
};

type Accepting = { system: System; load: LoadProcess; recorder: Recorder; prefix?: string };

/** One repeat, recorded. */
export async function acceptFor(seconds: number, { system, load, recorder, prefix = '' }: Accepting) {
  const processes = [...system.processes, load.metered];
  await gaugesOf(system.gateway.address);
  const before = await usageOf(processes);
  const result = await load.run('requests', { url: system.url, kind: 'submit', connections, seconds });
  const perSecond = result.answered / result.seconds;
  recorder.add(`${prefix}accepted`, 'submissions/s', perSecond);
  for (const [name, microseconds] of await cpuSince(before, processes, result.answered)) {
    recorder.add(`${prefix}CPU of ${name}`, 'µs/submission', microseconds);
  }
  const { loopP99Ms } = await gaugesOf(system.gateway.address);
  recorder.add(`${prefix}event loop delay of the gateway, p99`, 'ms', loopP99Ms);
  return { perSecond, faults: result.faults };
}
