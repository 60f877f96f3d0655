import { type BureauReport, loanTypes, parsePaise } from '@prequal/schema';
import type { PolicyInput } from './verdict.ts';

/** What a decision was made on, as it is stored: amounts as decimal strings. */
export type StoredEvidence = { inputs: Readonly<Record<string, string>>; bureauReport: BureauReport | null };

/** What the policy saw, from the stored evidence; undefined when that does not suffice. */
export function policyInputOf({ inputs, bureauReport }: StoredEvidence): PolicyInput | undefined {
  const monthlyIncomePaise = parsePaise(inputs['monthlyIncomeInr'] ?? '');
  const loanAmountPaise = parsePaise(inputs['loanAmountInr'] ?? '');
  const loanType = loanTypes.find((type) => type === inputs['loanType']);
  if (monthlyIncomePaise === undefined || loanAmountPaise === undefined || !loanType || !bureauReport) return undefined;
  const score = bureauReport.result === 'SCORED' ? bureauReport.score : null;
  return { score, monthlyIncomePaise, loanAmountPaise, loanType };
}
