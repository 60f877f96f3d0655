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

/** More numbers than a policy has; of more, the first are taken and chance has to find the others. */
const maxNumbers = 60;

/** The values at and beside every boundary that the numbers of a document can mean. */
export function boundariesOf(numbers: readonly number[]) {
  const named = [...new Set(numbers)].slice(0, maxNumbers);
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
export function incomesFor(amountPaise: number, ratios: readonly number[]): number[] {
  return ratios
    .flatMap((ratio) => [amountPaise / ratio, (amountPaise * ratio) / 100])
    .flatMap(around)
    .filter(isAmount);
}

/** Lines through every boundary, for every loan type. */
export function boundaryLines({ scores, amounts, ratios }: Boundaries): Line[] {
  const extremes = [ordinaryLoanPaise, 1, maxAmountPaise];
  return loanTypes.flatMap((loanType) => [
    ...[null, ...scores].flatMap((score) => extremes.map((amount) => incomeLine(score, amount, loanType))),
    ...amounts.map((amount) => incomeLine(highestScore, amount, loanType)),
    ...extremes.flatMap((amount) => extremes.map((income) => scoreLine(income, amount, loanType))),
    ...amounts.flatMap((amount) => [1, amount, maxAmountPaise].map((income) => scoreLine(income, amount, loanType))),
  ]);

  function incomeLine(score: number | null, loanAmountPaise: number, loanType: LoanType): Line {
    const values = ascending([...amounts, ...incomesFor(loanAmountPaise, ratios)]);
    return { axis: 'monthlyIncomePaise', fixed: { score, monthlyIncomePaise: 1, loanAmountPaise, loanType }, values };
  }
  function scoreLine(monthlyIncomePaise: number, loanAmountPaise: number, loanType: LoanType): Line {
    const fixed = { score: lowestScore, monthlyIncomePaise, loanAmountPaise, loanType };
    return { axis: 'score', fixed, values: scores };
  }
}

/** Endless lines by chance, which follow from the seed: half of the values are boundaries, half are any. */
export function* randomLines({ scores, amounts, ratios }: Boundaries, seed: number): Generator<Line, never> {
  const generator = xoroshiro128plus(seed);
  const int = (min: number, max: number) => uniformInt(generator, min, max);
  const pick = <T>(values: readonly T[]) => values[int(0, values.length - 1)] as T;
  // As many small amounts as large ones.
  const anyAmount = () => Math.min(maxAmountPaise, Math.ceil(10 ** (int(0, 12_000) / 1_000)));
  const amount = () => (int(0, 1) === 0 ? pick(amounts) : anyAmount());
  const score = () => (int(0, 1) === 0 ? pick(scores) : int(lowestScore, highestScore));
  for (;;) {
    const loanAmountPaise = amount();
    const incomes = incomesFor(loanAmountPaise, ratios);
    const fixed = { score: score(), monthlyIncomePaise: amount(), loanAmountPaise, loanType: pick(loanTypes) };
    const values = ascending(Array.from({ length: 8 }, () => (int(0, 1) === 0 ? (pick(incomes) ?? 1) : amount())));
    yield { axis: 'monthlyIncomePaise', fixed: int(0, 9) === 0 ? { ...fixed, score: null } : fixed, values };
    const monthlyIncomePaise = pick(values) ?? 1;
    yield { axis: 'score', fixed: { ...fixed, monthlyIncomePaise }, values: ascending([1, 2, 3, 4, 5, 6].map(score)) };
  }
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
