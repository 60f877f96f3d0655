import { cibilScoreRange, type LoanType, loanTypes, submissionLimits } from '@prequal/schema';
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import type { PolicyInput } from '../verdict.ts';

/** Values of one input in ascending order while all others stay as they are. */
export type Line = { axis: 'score' | 'monthlyIncomePaise'; fixed: PolicyInput; values: number[] };

const { min: lowestScore, max: highestScore } = cibilScoreRange;
const { maxAmountPaise } = submissionLimits;
/** ₹5,00,000: an ordinary loan, so that the examples look like one. */
const ordinaryLoanPaise = 5_00_000_00;
const extremeAmounts = [ordinaryLoanPaise, 1, maxAmountPaise];

/** Limits that an ordinary document does not come near; beyond them, chance chooses among its boundaries. */
const limits = { numbers: 200, trialsByIncome: 40_000, trialsByScore: 20_000, valuesPerLine: 120 } as const;

/** The values at and beside every boundary that the numbers of a document can mean. */
export function boundariesOf(numbers: readonly number[]) {
  const named = [...new Set(numbers)].slice(0, limits.numbers);
  const scores = [lowestScore, highestScore, ...named.flatMap(around)].filter(isScore);
  // An amount may be named in paise, or in rupees and multiplied.
  const amounts = [1, ordinaryLoanPaise, maxAmountPaise, ...named.flatMap((n) => [...around(n), ...around(n * 100)])];
  return {
    scores: ascending(scores),
    amounts: ascending(amounts.filter((amount) => isAmount(amount) && (amount === 1 || amount >= 1_000))),
    ratios: named.filter((n) => n > 0),
  };
}
export type Boundaries = ReturnType<typeof boundariesOf>;

/** Incomes at and beside what the ratios make of an amount: a forty-eighth, fifty per cent. */
function incomesFor(amountPaise: number, ratios: readonly number[]): number[] {
  return ratios
    .flatMap((ratio) => [amountPaise / ratio, (amountPaise * ratio) / 100])
    .flatMap(around)
    .filter(isAmount);
}

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

/** Draws that follow from a seed alone. */
function chance(seed: number) {
  const generator = xoroshiro128plus(seed);
  const int = (min: number, max: number) => uniformInt(generator, min, max);
  const pick = <T>(from: readonly T[]) => from[int(0, from.length - 1)] as T;
  /** so many different ones, or all in their order when there are no more */
  const some = <T>(from: readonly T[], count: number): readonly T[] => {
    if (from.length <= count) return from;
    const left = [...from];
    for (let index = 0; index < count; index++) {
      const other = int(index, left.length - 1);
      [left[index], left[other]] = [left[other] as T, left[index] as T];
    }
    return left.slice(0, count);
  };
  return { int, pick, some };
}

function around(value: number): number[] {
  return [Math.floor(value) - 1, Math.floor(value), Math.ceil(value), Math.ceil(value) + 1];
}

function ascending(values: readonly number[]): number[] {
  return [...new Set(values)].toSorted((a, b) => a - b);
}

function isScore(value: number): boolean {
  return value >= lowestScore && value <= highestScore;
}

function isAmount(value: number): boolean {
  return value >= 1 && value <= maxAmountPaise;
}
