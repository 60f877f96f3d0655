import { gaugesOf } from '../gauges.ts';
import { createRecorder } from '../result.ts';
import type { Scenario } from '../scenario.ts';
import { startStraightforward } from '../straightforward/start.ts';
import { startSystem } from '../system.ts';
import { cpuSince, type Metered, usageOf } from '../usage.ts';

const sockets = 20;

type Pipeline = { name: 'Prequal' | 'straightforward'; url: string; address: string | undefined; processes: Metered[] };

/** Applications a second from submission to pushed decision, sustained, beside the pipeline as it is written at first. */
export const pipeline: Scenario = async ({ servers, load, options, say }) => {
  const { repeats, seconds, warmUpSeconds, applicants } = options.quick
    ? { repeats: 1, seconds: 1.5, warmUpSeconds: 1.5, applicants: 128 }
    : { repeats: 5, seconds: 8, warmUpSeconds: 24, applicants: 512 };
  const times = options.repeats ?? repeats;
  const recorder = createRecorder();
  const failures: string[] = [];
  const [ours, theirs] = await Promise.all([
    startSystem(servers, { name: 'pipeline', workers: true }),
    startStraightforward(servers, 'straightforward'),
  ]);
  await using system = ours;
  await using other = theirs;
  const compared: Pipeline[] = [
    { name: 'Prequal', url: system.url, address: system.gateway.address, processes: system.processes },
    { name: 'straightforward', url: other.url, address: undefined, processes: other.processes },
  ];
  const runOn = async ({ url }: Pipeline, forSeconds = seconds) => {
    const result = await load.run('applicants', { url, applicants, sockets, seconds: forSeconds });
    failures.push(...result.faults);
    return result;
  };
  for (const one of compared) await runOn(one, warmUpSeconds);
  for (let repeat = 1; repeat <= times; repeat += 1) {
    say(`pipeline: repeat ${repeat} of ${times}`);
    const perSecond: number[] = [];
    for (const one of compared) {
      const processes = [...one.processes, load.metered];
      if (one.address) await gaugesOf(one.address);
      const before = await usageOf(processes);
      const { decided, seconds: took } = await runOn(one);
      perSecond.push(decided / took);
      recorder.add(`${one.name}: decided and pushed`, 'applications/s', decided / took);
      for (const [name, microseconds] of await cpuSince(before, processes, decided)) {
        recorder.add(`${one.name}: CPU of ${name}`, 'µs/application', microseconds);
      }
      if (!one.address) continue;
      recorder.add(`${one.name}: event loop delay of the gateway, p99`, 'ms', (await gaugesOf(one.address)).loopP99Ms);
    }
    recorder.add('Prequal against straightforward', 'ratio', (perSecond[0] ?? 0) / (perSecond[1] ?? 0));
  }
  for (const { name, processes } of compared) {
    for (const [process, { memoryBytes }] of await usageOf(processes)) {
      recorder.add(`${name}: memory of ${process}`, 'MB', memoryBytes / 1e6);
    }
  }
  return { figures: recorder.figures(), plots: [], failures };
};
