import { expect, test } from 'vitest';
import { cutInBatches } from './cut-in-batches.ts';

test.for<[number, number]>([
  [0, 0],
  [1, 1],
  [50, 50],
  [120, 50],
  [10_000, 250],
])('of %i streams %i are cut at once, and all in the end, in order', async ([count, atOnce]) => {
  const cut: number[] = [];
  const done = cutInBatches(Array.from({ length: count }, (_, index) => () => void cut.push(index)));
  expect(cut).toHaveLength(atOnce);
  await done;
  expect(cut).toEqual(Array.from({ length: count }, (_, index) => index));
});
