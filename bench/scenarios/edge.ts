import { createRecorder } from '../result.ts';
import type { Bench, Scenario } from '../scenario.ts';
import { cpuSince, usageOf } from '../usage.ts';

const connections = 64;
const kinds = ['submit', 'query'] as const;
const peers = {
  Prequal: { entry: 'edge/gateway.ts', env: { NATS_URL: 'nats://127.0.0.1:1', DATABASE_URL: 'postgres://none/none' } },
  Mercurius: { entry: 'edge/mercurius.ts', env: {} },
  'Mercurius with jit': { entry: 'edge/mercurius.ts', env: { BENCH_JIT: '1' } },
  'Apollo Server': { entry: 'edge/apollo.ts', env: {} },
};

/** The gateway's way from a request to its answer, nothing done in between, beside other servers of the same schema. */
export const edge: Scenario = async ({ servers, load, options, say }) => {
  const { repeats, seconds, warmUpSeconds } = options.quick
    ? { repeats: 2, seconds: 0.7, warmUpSeconds: 0.7 }
    : { repeats: 5, seconds: 3, warmUpSeconds: 6 };
  const times = options.repeats ?? repeats;
  const recorder = createRecorder();
  const failures: string[] = [];
  const compared = await startPeers(servers, options.quick);
  const ask = async (url: string, kind: (typeof kinds)[number], forSeconds: number) => {
    const result = await load.run('requests', { url, kind, connections, seconds: forSeconds });
    failures.push(...result.faults);
    return result;
  };
  const asked = options.quick ? kinds.slice(0, 1) : kinds;
  for (const { url } of compared) for (const kind of asked) await ask(url, kind, warmUpSeconds);
  for (let repeat = 1; repeat <= times; repeat += 1) {
    for (const kind of asked) {
      say(`edge: ${kind}, repeat ${repeat} of ${times}`);
      const perSecond = new Map<string, number>();
      for (const { name, url, metered } of compared) {
        const before = await usageOf([metered]);
        const { answered, seconds: took } = await ask(url, kind, seconds);
        perSecond.set(name, answered / took);
        recorder.add(`${kind}: ${name}`, 'requests/s', answered / took);
        for (const [, microseconds] of await cpuSince(before, [metered], answered)) {
          recorder.add(`${kind}: ${name}, CPU`, 'µs/request', microseconds);
        }
      }
      const ours = perSecond.get('Prequal') ?? Number.NaN;
      for (const { name } of compared.slice(1)) {
        recorder.add(`${kind}: Prequal against ${name}`, 'ratio', ours / (perSecond.get(name) ?? Number.NaN));
      }
    }
  }
  for (const { name, metered } of compared) {
    recorder.add(
      `memory: ${name}`,
      'MB',
      ((await usageOf([metered])).get(metered.name)?.memoryBytes ?? Number.NaN) / 1e6,
    );
  }
  await Promise.all(compared.map(({ process }) => process[Symbol.asyncDispose]()));
  return { figures: recorder.figures(), plots: [], failures };
};

async function startPeers(servers: Bench['servers'], quick: boolean) {
  const names = Object.keys(peers) as (keyof typeof peers)[];
  const chosen = quick ? names.filter((name) => name !== 'Mercurius with jit') : names;
  return Promise.all(
    chosen.map(async (name) => {
      const process = await servers.startProcess({ name: `edge-${name.replaceAll(' ', '-')}`, ...peers[name] });
      return { name, process, url: `${process.address}/graphql`, metered: process.metered };
    }),
  );
}
