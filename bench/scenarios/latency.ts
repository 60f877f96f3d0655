import { gaugesOf } from '../gauges.ts';
import type { ArrivalsResult } from '../load/arrivals.ts';
import type { LoadProcess } from '../load-process.ts';
import { createRecorder, type Plot, type Recorder } from '../result.ts';
import type { Scenario } from '../scenario.ts';
import { startStraightforward } from '../straightforward/start.ts';
import { type System, startSystem } from '../system.ts';
import { cpuSince, usageOf } from '../usage.ts';

const sockets = 20;
/** The latter ones are beyond what is promised: how it bends. */
const rates = { promised: [100, 300, 600], beyond: [1_000, 1_500] };
/** share of what was offered that is decided in the same time, when the machine carries it */
const carried = 0.95;
/** what the straightforward pipeline can carry as well */
const comparedRate = 100;
const percentiles = ['p50', 'p95', 'p99', 'p999'] as const;
const labels = { p50: 'p50', p95: 'p95', p99: 'p99', p999: 'p99.9' };

/**
 * From the moment a submission was due to its acknowledgement and to the pushed decision, at fixed rates; at the lowest
 * beside the straightforward pipeline, since few requests a second cost each server several times as much.
 */
export const latency: Scenario = async ({ servers, load, options, say }) => {
  const [repeats, seconds, promised] = options.quick ? [1, 3, [100]] : [3, 20, rates.promised];
  const times = options.repeats ?? repeats;
  const recorder = createRecorder();
  const failures: string[] = [];
  await using system = await startSystem(servers, { name: 'latency', workers: true });
  await using other = options.quick ? undefined : await startStraightforward(servers, 'straightforward_latency');
  for (const { url } of other ? [system, other] : [system]) {
    await load.run('applicants', { url, applicants: 64, sockets, seconds: options.quick ? 1 : 15 });
  }
  const run = async (rate: number, forSeconds: number) =>
    arriveFor(forSeconds, rate, { system, load, recorder, prefix: `${rate}/s: ` });
  for (let repeat = 1; repeat <= times; repeat += 1) {
    for (const rate of promised) {
      say(`latency: ${rate} a second, repeat ${repeat} of ${times}`);
      const result = await run(rate, seconds);
      // Of more than the machine carries something is given up, which its throughput tells.
      if (result.decidedPerSecond > rate * carried) failures.push(...result.faults);
      if (!other || rate !== comparedRate) continue;
      const { pushedMs, faults } = await load.run('arrivals', { url: other.url, rate, seconds, sockets });
      failures.push(...faults);
      for (const percentile of percentiles) {
        const label = labels[percentile];
        recorder.add(`${rate}/s, straightforward: pushed, ${label}`, 'ms', pushedMs[percentile]);
        const ratio = pushedMs[percentile] / result.pushedMs[percentile];
        recorder.add(`${rate}/s: pushed, ${label}, straightforward against Prequal`, 'ratio', ratio);
      }
    }
  }
  for (const rate of options.quick ? [] : rates.beyond) {
    say(`latency: ${rate} a second`);
    // Beyond what it can do something is given up; that is what is looked at.
    await run(rate, seconds / 2);
  }
  const offered = options.quick ? promised : [...promised, ...rates.beyond];
  return { figures: recorder.figures(), plots: plotsOf(recorder, offered), failures };
};

type Arriving = { system: System; load: LoadProcess; recorder: Recorder; prefix: string };

/** One repeat at one rate, recorded. */
export async function arriveFor(seconds: number, rate: number, arriving: Arriving): Promise<ArrivalsResult> {
  const { system, load, recorder, prefix } = arriving;
  const processes = [...system.processes, load.metered];
  await gaugesOf(system.gateway.address);
  const before = await usageOf(processes);
  const result = await load.run('arrivals', { url: system.url, rate, seconds, sockets });
  for (const percentile of percentiles) {
    recorder.add(`${prefix}acknowledged, ${labels[percentile]}`, 'ms', result.acknowledgedMs[percentile]);
  }
  for (const percentile of percentiles) {
    recorder.add(`${prefix}pushed, ${labels[percentile]}`, 'ms', result.pushedMs[percentile]);
  }
  recorder.add(`${prefix}decided and pushed`, 'applications/s', result.decidedPerSecond);
  for (const [name, microseconds] of await cpuSince(before, processes, result.submitted)) {
    recorder.add(`${prefix}CPU of ${name}`, 'µs/application', microseconds);
  }
  const { loopP99Ms } = await gaugesOf(system.gateway.address);
  recorder.add(`${prefix}event loop delay of the gateway, p99`, 'ms', loopP99Ms);
  return result;
}

function plotsOf({ median }: Recorder, offered: readonly number[]): Plot[] {
  const over = (name: string) => offered.map((rate): [number, number] => [rate, median(`${rate}/s: ${name}`)]);
  const lines = (what: string) =>
    percentiles.map((percentile) => ({
      name: `${what}, ${labels[percentile]}`,
      points: over(`${what}, ${labels[percentile]}`),
    }));
  const x = 'submissions offered a second';
  return [
    {
      file: 'throughput',
      title: 'Decided and pushed over offered load',
      x,
      y: 'applications a second',
      series: [
        { name: 'pushed', points: over('decided and pushed') },
        { name: 'offered', points: offered.map((rate) => [rate, rate]) },
      ],
    },
    {
      file: 'latency-push',
      title: 'From submission to pushed decision',
      x,
      y: 'ms',
      logarithmic: true,
      series: lines('pushed'),
    },
    {
      file: 'latency-acknowledge',
      title: 'From submission to acknowledgement',
      x,
      y: 'ms',
      logarithmic: true,
      series: lines('acknowledged'),
    },
  ];
}
