import { loanTypes, submissionLimits } from '@prequal/schema';
import { expect, test } from 'vitest';
import { numbersIn } from '../expressions.ts';
import { boundariesOf } from './boundaries.ts';
import { boundaryLines, type Line, randomLines, rowLines } from './lines.ts';

const { maxAmountPaise } = submissionLimits;
const sizeOf = (lines: readonly Line[]) => lines.reduce((sum, { values }) => sum + values.length, 0);

test.each([
  ['>= 650', [650]],
  ['[300..650)', [300, 650]],
  ["a7 + x.b8 > 8.5 and b == 'A12'", [8.5]],
  ["`It isn't ${income / 48} but ${floor(7)}, in 2026.`", [48, 7]],
])('the numbers of %s', (text, numbers) => {
  expect(numbersIn(text)).toEqual(numbers);
});

test('every boundary that a number names is tried with the values beside it, for every loan type', () => {
  const lines = [...boundaryLines(boundariesOf([650, 48, 2_000_000]), 1)];
  for (const loanType of loanTypes) {
    const mine = lines.filter(({ fixed }) => fixed.loanType === loanType);
    const incomes = mine.filter(({ axis }) => axis === 'monthlyIncomePaise');
    for (const score of [null, 300, 649, 650, 651, 900])
      expect(incomes.some(({ fixed }) => fixed.score === score)).toBe(true);
    for (const amount of [1, 1_999_999, 2_000_000, 2_000_001, 199_999_999, 200_000_001, maxAmountPaise]) {
      const through = mine.filter(({ fixed }) => fixed.loanAmountPaise === amount);
      expect(through.some(({ axis, values }) => axis === 'score' && values.includes(650))).toBe(true);
      const share = Math.max(1, Math.floor(amount / 48));
      expect(
        through.some(({ axis, values }) => axis !== 'score' && values.includes(share) && values.includes(share + 1)),
      ).toBe(true);
    }
  }
});

test('the boundaries of one row are tried together, however many rows there are', () => {
  const rows = Array.from({ length: 190 }, (_, index) => [650 + index, 652 + index, 10_000_000 + index * 70_000]);
  const lines = rowLines(rows, 1);
  expect(sizeOf(lines)).toBeLessThan(45_000);
  const met = rows.filter(([score = 0, , amount = 0]) =>
    lines.some(({ fixed, values }) => fixed.loanAmountPaise === amount && values.includes(score)),
  );
  expect(met).toHaveLength(rows.length);
});

test('a document of many numbers is tried in bounded time', () => {
  const many = boundariesOf(Array.from({ length: 1_000 }, (_, index) => 301 + index * 7_919));
  const lines = [...boundaryLines(many, 1)];
  expect(sizeOf(lines)).toBeLessThan(50_000);
  expect(Math.max(...lines.map(({ values }) => values.length))).toBeLessThanOrEqual(120);
});

test('the random search follows from its seed, and its lines ascend', () => {
  const some = (seed: number) => {
    const lines = randomLines(boundariesOf([650, 48]), seed);
    return Array.from({ length: 50 }, () => lines.next().value);
  };
  expect(some(3)).toEqual(some(3));
  expect(some(3)).not.toEqual(some(4));
  for (const { values } of some(3)) expect(values).toEqual(values.toSorted((a, b) => a - b));
});
