import { expect, test, vi } from 'vitest';
import { createAllowances } from './allowances.ts';

const minuteMs = 60_000;

test('a key has as much as allowed in one window, and again in the next', async () => {
  const { take, giveBack, msLeft } = createAllowances(3, 200);
  expect([take('a'), take('a', 2), take('a'), take('b', 4), take('b', 3)]).toEqual([true, true, false, false, true]);
  giveBack('a');
  expect([take('a'), take('a')]).toEqual([true, false]);
  expect(msLeft()).toBeLessThanOrEqual(200);
  await vi.waitFor(() => expect(take('a', 3)).toBe(true), 10_000);
});

test('who keeps coming has no more because a crowd comes as well, nor has the window another end', () => {
  const { take, msLeft } = createAllowances(2, minuteMs);
  take('heavy', 2);
  const begunBy = performance.now();
  let granted = 0;
  for (let index = 0; index < 400_000; index += 1) {
    take(`one of many ${index}`);
    if (index % 20_000 === 0 && take('heavy')) granted += 1;
  }
  expect(granted).toBe(0);
  const passedMs = performance.now() - begunBy;
  expect(msLeft()).toBeLessThanOrEqual(minuteMs - passedMs + 1);
});

test('of a crowd without end only the last are kept', () => {
  const { take } = createAllowances(1, minuteMs);
  take('first');
  expect(take('first')).toBe(false);
  for (let index = 0; index < 100_000; index += 1) take(`one of many ${index}`);
  expect(take('one of many 99999')).toBe(false);
  expect(take('first')).toBe(true);
});

test('without a limit nothing is counted', () => {
  const { take } = createAllowances(Number.POSITIVE_INFINITY, minuteMs);
  expect([take('a', 1e9), take('a', 1e9)]).toEqual([true, true]);
});
