import { createRecorder, type Plot } from '../result.ts';
import type { Scenario } from '../scenario.ts';
import { startSystem } from '../system.ts';
import { usageOf } from '../usage.ts';
import { arriveFor } from './latency.ts';

const rate = 300;
const windowSeconds = 30;

/** The same load for long: memory and latency are to stay what they were. */
export const soak: Scenario = async ({ servers, load, options, say }) => {
  const recorder = createRecorder();
  const failures: string[] = [];
  await using system = await startSystem(servers, { name: 'soak', workers: true });
  const windows = Math.max(2, Math.round((options.minutes * 60) / windowSeconds));
  const latencies: { p50: [number, number][]; p99: [number, number][] } = { p50: [], p99: [] };
  const memory = new Map<string, [number, number][]>();
  for (let window = 1; window <= windows; window += 1) {
    say(`soak: ${window} of ${windows} times ${windowSeconds} s`);
    const { pushedMs, faults } = await arriveFor(windowSeconds, rate, { system, load, recorder, prefix: '' });
    failures.push(...faults);
    const minute = (window * windowSeconds) / 60;
    latencies.p50.push([minute, pushedMs.p50]);
    latencies.p99.push([minute, pushedMs.p99]);
    for (const [name, { memoryBytes }] of await usageOf(system.processes)) {
      recorder.add(`memory of ${name}`, 'MB', memoryBytes / 1e6);
      memory.set(name, [...(memory.get(name) ?? []), [minute, memoryBytes / 1e6]]);
    }
  }
  for (const [name, points] of memory)
    recorder.add(`memory of ${name}, last third against the middle one`, 'ratio', grown(points));
  recorder.add('pushed, p50, last third against the middle one', 'ratio', grown(latencies.p50));
  const x = 'minutes';
  const plots: Plot[] = [
    {
      file: 'soak-memory',
      title: `Memory at ${rate} submissions a second`,
      x,
      y: 'MB',
      series: [...memory].map(([name, points]) => ({ name, points })),
    },
    {
      file: 'soak-latency',
      title: `To the pushed decision at ${rate} a second`,
      x,
      y: 'ms',
      logarithmic: true,
      series: Object.entries(latencies).map(([name, points]) => ({ name, points })),
    },
  ];
  return { figures: recorder.figures(), plots, failures };
};

/** In the first third code is still being compiled and caches fill. */
function grown(points: readonly [number, number][]): number {
  const third = Math.ceil(points.length / 3);
  const mean = (part: readonly [number, number][]) => part.reduce((sum, [, value]) => sum + value, 0) / part.length;
  return mean(points.slice(-third)) / mean(points.slice(-2 * third, -third));
}
