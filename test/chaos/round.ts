import { rm, writeFile } from 'node:fs/promises';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import type { World } from './faults/fault.ts';
import type { History } from './history.ts';
import type { Load } from './load.ts';
import type { PlannedFault } from './plan.ts';
import { seeded } from './random.ts';
import type { System } from './system.ts';

export type RoundDeps = {
  system: System;
  load: Load;
  history: History;
  planted: World['planted'];
  say: (sentence: string) => void;
  /** told when streams are losing messages, at the begin and at the end of it */
  onLoss: () => void;
};

/** Load and faults for a while; returns when the load has stopped and every fault is undone. */
export async function faultPhase(deps: RoundDeps, plan: readonly PlannedFault[], lastsMs: number): Promise<void> {
  const { system, load, history, planted, say } = deps;
  await rm(system.healedFile, { force: true });
  const healing = new AbortController();
  const busy = new Set<string>();
  const take = (name: string): Disposable | undefined => {
    if (busy.has(name)) return undefined;
    busy.add(name);
    return { [Symbol.dispose]: () => busy.delete(name) };
  };

  async function one({ fault, atMs, lastsMs: faultMs, seed }: PlannedFault): Promise<void> {
    await delay(atMs, undefined, { signal: healing.signal }).catch(() => undefined);
    if (healing.signal.aborted) return;
    const note: World['note'] = (what, detail) => history.note(`fault ${what}`, fault.name, detail);
    note('begins');
    if (fault.losesMessages) deps.onLoss();
    const world = { system, load, planted, note, nowMs: history.nowMs, take, healing: healing.signal };
    const lasts = async (limitMs = faultMs) => {
      await delay(Math.min(limitMs, faultMs), undefined, { signal: healing.signal }).catch(() => undefined);
    };
    await fault.run(world, seeded(seed), lasts);
    if (fault.losesMessages) deps.onLoss();
    note('ends');
  }

  const faults = Promise.all(plan.map(one));
  const loading = load.run(healing.signal);
  // A fault that cannot be carried out is a mistake of the harness and ends the run.
  const failed = new Promise<never>((_, reject) => {
    faults.catch(reject);
  });
  await Promise.race([
    progress(lastsMs, (loopDelayMs) => say(`${describe(load)}, own delay ${loopDelayMs} ms`)),
    failed,
  ]);
  healing.abort();
  await writeFile(system.healedFile, '');
  await Promise.all([faults, loading]);
}

async function progress(lastsMs: number, say: (loopDelayMs: number) => void): Promise<void> {
  const until = performance.now() + lastsMs;
  const loop = monitorEventLoopDelay();
  loop.enable();
  while (performance.now() < until) {
    await delay(Math.min(5_000, until - performance.now()));
    // Whoever reads a violation must know when the harness itself could not keep up.
    say(Math.round(loop.percentile(99) / 1e6));
    loop.reset();
  }
  loop.disable();
}

function describe({ submissions, unacknowledged, watchers }: Load): string {
  const open = watchers.filter(({ end }) => end === 'open').length;
  const waiting = unacknowledged().length;
  return `${submissions.length} submitted, ${waiting} not yet acknowledged, ${open} watchers open`;
}
