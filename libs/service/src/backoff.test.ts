import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backoffMs } from './backoff.ts';

const limits = { baseMs: 100, maxMs: 5_000 };

describe('the longest delay doubles up to its limit', () => {
  test.each([
    [1, 100],
    [2, 200],
    [3, 400],
    [6, 3_200],
    [7, 5_000],
    [8, 5_000],
    [1_000_000, 5_000],
  ])('attempt %d waits at most %d ms', (attempt, expectedMs) => {
    expect(backoffMs(attempt, limits, () => 1)).toBe(expectedMs);
  });
});

test('a delay is from half of the longest to all of it, in whole milliseconds', () => {
  const chance = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 100 }),
      fc.nat(60_000),
      fc.nat(600_000),
      chance,
      (attempt, base, max, random) => {
        const given = { baseMs: base, maxMs: max };
        const longestMs = backoffMs(attempt, given, () => 1);
        const delayMs = backoffMs(attempt, given, () => random);
        expect(Number.isInteger(delayMs)).toBe(true);
        expect(delayMs).toBeLessThanOrEqual(longestMs);
        expect(delayMs).toBeGreaterThanOrEqual(Math.floor(longestMs / 2));
        expect(longestMs).toBeLessThanOrEqual(max);
      },
    ),
  );
});

test('many waiters do not come back at once', () => {
  const delays = new Set(Array.from({ length: 100 }, () => backoffMs(7, limits)));
  expect(delays.size).toBeGreaterThan(50);
});
