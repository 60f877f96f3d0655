import { cibilScoreRange, submissionLimits } from '@prequal/schema';

export const { min: lowestScore, max: highestScore } = cibilScoreRange;
export const { maxAmountPaise } = submissionLimits;
/** ₹5,00,000: an ordinary loan, so that the examples look like one. */
export const ordinaryLoanPaise = 5_00_000_00;
/** A smaller number is taken for a score, a ratio or a percentage. */
export const leastNamedPaise = 1_000;
export const extremeAmounts = [ordinaryLoanPaise, 1, maxAmountPaise];

/** More numbers than an ordinary document has; of more, the first are taken, and their rows name the others. */
const maxNumbers = 200;

/** The values at and beside every boundary that the numbers of a document can mean. */
export function boundariesOf(numbers: readonly number[]) {
  const named = [...new Set(numbers)].slice(0, maxNumbers);
  const scores = [lowestScore, highestScore, ...named.flatMap(around)].filter(isScore);
  // An amount may be named in paise, or in rupees and multiplied.
  const amounts = [1, ordinaryLoanPaise, maxAmountPaise, ...named.flatMap((n) => [...around(n), ...around(n * 100)])];
  return {
    scores: ascending(scores),
    amounts: ascending(amounts.filter((amount) => isAmount(amount) && (amount === 1 || amount >= leastNamedPaise))),
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

export function around(value: number): number[] {
  return [Math.floor(value) - 1, Math.floor(value), Math.ceil(value), Math.ceil(value) + 1];
}

export function ascending(values: readonly number[]): number[] {
  return [...new Set(values)].toSorted((a, b) => a - b);
}

export function isScore(value: number): boolean {
  return value >= lowestScore && value <= highestScore;
}

export function isAmount(value: number): boolean {
  return value >= 1 && value <= maxAmountPaise;
}
