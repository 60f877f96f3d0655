import { catalogue } from './faults/catalogue.ts';
import type { Fault } from './faults/fault.ts';
import { seeded } from './random.ts';

export type PlannedFault = { fault: Fault; atMs: number; lastsMs: number; seed: number };

/** What goes wrong in a round, and when: it follows from the seed alone. */
export function planRound(options: { seed: number; faults: readonly string[]; lastsMs: number }): PlannedFault[] {
  const random = seeded(options.seed);
  const possible = catalogue.filter(({ name }) => options.faults.includes(name));
  const planned: PlannedFault[] = [];
  let atMs = random.int(500, 2_500);
  while (possible.length > 0 && atMs < options.lastsMs) {
    const isEarly = atMs < options.lastsMs / 3;
    const candidates = possible.filter(({ early }) => isEarly || !early);
    if (candidates.length > 0) {
      const fault = random.pick(candidates);
      planned.push({ fault, atMs, lastsMs: random.int(1_000, 8_000), seed: random.int(1, 2 ** 31 - 1) });
    }
    atMs += random.int(1_000, 5_000);
  }
  return planned;
}
