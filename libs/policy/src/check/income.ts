import { cibilScoreRange, loanTypes, submissionLimits } from '@prequal/schema';
import type { Finding, PolicyInput } from '../verdict.ts';
import { describe, type Evaluate, tryInput } from './trial.ts';

/**
 * A lender assesses whether a borrower can repay (RBI Digital Lending Directions, 8 May 2025: the economic profile,
 * "age, occupation, income, etc."), so a policy that approves the largest loan on the smallest income ignores it.
 */
export async function ignoredIncome(evaluate: Evaluate): Promise<Finding[]> {
  const trials = loanTypes.flatMap((loanType) =>
    [cibilScoreRange.max, null].map((score): PolicyInput => {
      return { score, loanType, monthlyIncomePaise: 1, loanAmountPaise: submissionLimits.maxAmountPaise };
    }),
  );
  const tried = await Promise.all(trials.map((input) => tryInput(evaluate, input)));
  return tried
    .filter(({ verdict }) => verdict?.outcome === 'PRE_APPROVED')
    .slice(0, 1)
    .map(({ input }) => ({
      kind: 'INCOME_IGNORED',
      message: `${describe(input)}: PRE_APPROVED. The smallest income is enough for the largest loan, so the income is ignored.`,
      examples: [input],
    }));
}
