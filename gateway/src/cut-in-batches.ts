import { setTimeout as delay } from 'node:timers/promises';

const minBatchSize = 50;
const maxBatches = 40;
const pauseMs = 100;

/**
 * Cuts the streams of a gateway that stops, a batch at a time: their clients connect elsewhere at once, and
 * must not all arrive there together. Takes at most 4 s, however many there are.
 */
export async function cutInBatches(cuts: readonly (() => void)[]): Promise<void> {
  const batchSize = Math.max(minBatchSize, Math.ceil(cuts.length / maxBatches));
  for (let begin = 0; begin < cuts.length; begin += batchSize) {
    if (begin > 0) await delay(pauseMs);
    for (const cut of cuts.slice(begin, begin + batchSize)) cut();
  }
}
