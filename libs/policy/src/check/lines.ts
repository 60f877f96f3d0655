import { type LoanType, loanTypes } from '@prequal/schema';
import type { PolicyInput } from '../verdict.ts';
import {
  around,
  ascending,
  type Boundaries,
  extremeAmounts,
  highestScore,
  incomesFor,
  isAmount,
  isScore,
  leastNamedPaise,
  lowestScore,
  maxAmountPaise,
  ordinaryLoanPaise,
} from './boundaries.ts';
import { chance } from './chance.ts';

/** Values of one input in ascending order while all others stay as they are. */
export type Line = { axis: 'score' | 'monthlyIncomePaise'; fixed: PolicyInput; values: number[] };

/** Limits that an ordinary document does not come near; beyond them, chance chooses among its boundaries. */
const limits = {
  numbers: 200,
  trialsByIncome: 24_000,
  trialsByScore: 10_000,
  trialsByRow: 40_000,
  valuesPerLine: 120,
} as const;

/** Lines through every boundary, for every loan type; when those are too many, some of them by chance. */
export function* boundaryLines(boundaries: Boundaries, seed: number): Generator<Line, undefined> {
  const { scores, amounts, ratios } = boundaries;
  const { some } = chance(seed);
  const valuesPerLine = Math.min(limits.valuesPerLine, amounts.length + 8 * ratios.length);
  const byIncome = loanTypes.flatMap((loanType) => incomeLines(boundaries, loanType));
  const byScore = loanTypes.flatMap((loanType) => scoreLines(boundaries, loanType));
  for (const line of [
    ...some(byIncome, Math.ceil(limits.trialsByIncome / valuesPerLine)),
    ...some(byScore, Math.ceil(limits.trialsByScore / Math.min(limits.valuesPerLine, scores.length))),
  ]) {
    const { values, ...rest } = line();
    yield { ...rest, values: ascending(some(values, limits.valuesPerLine)) };
  }
  return undefined;
}

/** Made when their turn comes: all of them at once may be too much. */
type LaterLine = () => Line;

function incomeLines({ scores, amounts, ratios }: Boundaries, loanType: LoanType): LaterLine[] {
  const through = (score: number | null, loanAmountPaise: number) => (): Line => ({
    axis: 'monthlyIncomePaise',
    fixed: { score, monthlyIncomePaise: 1, loanAmountPaise, loanType },
    values: ascending([...amounts, ...incomesFor(loanAmountPaise, ratios)]),
  });
  return [
    ...[null, ...scores].flatMap((score) => extremeAmounts.map((amount) => through(score, amount))),
    ...amounts.map((amount) => through(highestScore, amount)),
  ];
}

function scoreLines({ scores, amounts }: Boundaries, loanType: LoanType): LaterLine[] {
  const through = (monthlyIncomePaise: number, loanAmountPaise: number) => (): Line => ({
    axis: 'score',
    fixed: { score: lowestScore, monthlyIncomePaise, loanAmountPaise, loanType },
    values: scores,
  });
  return amounts.flatMap((amount) => [...extremeAmounts, amount].map((income) => through(income, amount)));
}

/** Lines through the boundaries that meet in one row of a table, given the numbers of each row. */
export function rowLines(rows: readonly (readonly number[])[], seed: number): Line[] {
  const lines = rows.flatMap((numbers) => {
    const scores = numbers.flatMap(around).filter(isScore);
    const values = ascending(scores.length > 0 ? scores : [lowestScore, highestScore]);
    const named = numbers.filter((number) => number >= leastNamedPaise);
    const amounts = ascending((named.length > 0 ? named : [ordinaryLoanPaise]).flatMap(around).filter(isAmount));
    const incomes = ascending([1, maxAmountPaise, ...named, ...named.map((income) => income + 1)].filter(isAmount));
    return loanTypes.flatMap((loanType) =>
      amounts.flatMap((loanAmountPaise) =>
        incomes.map((monthlyIncomePaise): Line => {
          return {
            axis: 'score',
            fixed: { score: lowestScore, monthlyIncomePaise, loanAmountPaise, loanType },
            values,
          };
        }),
      ),
    );
  });
  const trials = lines.reduce((sum, { values }) => sum + values.length, 0);
  return [...chance(seed).some(lines, Math.ceil((lines.length * limits.trialsByRow) / Math.max(1, trials)))];
}

/** Endless lines by chance, which follow from the seed: half of the values are boundaries, half are any. */
export function* randomLines({ scores, amounts, ratios }: Boundaries, seed: number): Generator<Line, never> {
  const { int, pick } = chance(seed);
  // As many small amounts as large ones.
  const anyAmount = () => Math.min(maxAmountPaise, Math.ceil(10 ** (int(0, 12_000) / 1_000)));
  const amount = () => (int(0, 1) === 0 ? pick(amounts) : anyAmount());
  const score = () => (int(0, 1) === 0 ? pick(scores) : int(lowestScore, highestScore));
  for (;;) {
    const loanAmountPaise = amount();
    const incomes = [...incomesFor(loanAmountPaise, ratios), 1];
    const fixed = { score: score(), monthlyIncomePaise: amount(), loanAmountPaise, loanType: pick(loanTypes) };
    const values = ascending(Array.from({ length: 8 }, () => (int(0, 1) === 0 ? pick(incomes) : amount())));
    yield { axis: 'monthlyIncomePaise', fixed: int(0, 9) === 0 ? { ...fixed, score: null } : fixed, values };
    const monthlyIncomePaise = pick(values);
    yield { axis: 'score', fixed: { ...fixed, monthlyIncomePaise }, values: ascending([1, 2, 3, 4, 5, 6].map(score)) };
  }
}
