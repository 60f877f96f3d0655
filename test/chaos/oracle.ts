import { deeds, type Input } from './applicants.ts';

/**
 * The rules of policy `seed-1` a second time, written from the design and not from the code, in whole numbers.
 */

const variation = 5;

/** Between which figures the simulated bureau's score must be; null for no credit history. */
export function expectedScore(input: Input): { min: number; max: number } | null {
  if (input.monthlyIncomeInr === deeds.noHistory) return null;
  if (input.panNumber === 'ABCDE1234F') return { min: 790, max: 790 };
  if (input.panNumber === 'FGHIJ5678K') return { min: 610, max: 610 };
  const income = paise(input.monthlyIncomeInr);
  let base = 650n;
  if (income > 7_500_000n) base += 40n;
  if (income < 3_000_000n) base -= 20n;
  if (input.loanType === 'PERSONAL') base -= 10n;
  if (input.loanType === 'HOME') base += 10n;
  return { min: Number(base) - variation, max: Number(base) + variation };
}

/** The outcome for this score, null being an applicant without credit history. */
export function expectedOutcome(input: Input, score: number | null): string {
  if (score === null) return 'MANUAL_REVIEW';
  if (score < 650) return 'REJECTED';
  return paise(input.monthlyIncomeInr) * 48n > paise(input.loanAmountInr) ? 'PRE_APPROVED' : 'MANUAL_REVIEW';
}

function paise(rupees: string): bigint {
  return BigInt(rupees.replace('.', ''));
}
