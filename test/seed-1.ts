import { type BureauReport, type DecisionOutcome, type DecisionReason, displayRupees } from '@prequal/schema';

export type DecisionFacts = {
  report: BureauReport;
  monthlyIncomePaise: number;
  loanAmountPaise: number;
};

export type Verdict = { outcome: DecisionOutcome; reasons: DecisionReason[] };

const policy = { minimumScore: 650, incomeShare: 48 } as const;

/**
 * The rules of policy `seed-1` as a person writes them, for the shipped document to be compared with: a score below 650 is REJECTED; otherwise a monthly income of more than one
 * forty-eighth of the amount is PRE_APPROVED, and anything else goes to an underwriter. No history is not
 * a score: the Reserve Bank forbids rejecting first-time borrowers for lack of it (Master Direction,
 * 6 January 2025).
 */
export function decide({ report, monthlyIncomePaise, loanAmountPaise }: DecisionFacts): Verdict {
  if (report.result === 'NO_HISTORY') {
    return {
      outcome: 'MANUAL_REVIEW',
      reasons: [
        {
          code: 'NO_CREDIT_HISTORY',
          message: 'The credit bureau knows no history of yours yet, so an underwriter looks at your application.',
        },
      ],
    };
  }
  const { score } = report;
  const { minimumScore, incomeShare } = policy;
  if (score < minimumScore) {
    const message = `Your CIBIL score of ${score} is below the minimum of ${minimumScore}.`;
    return { outcome: 'REJECTED', reasons: [{ code: 'SCORE_BELOW_MINIMUM', message }] };
  }
  const scoreSufficient = {
    code: 'SCORE_SUFFICIENT',
    message: `Your CIBIL score of ${score} reaches the minimum of ${minimumScore}.`,
  };
  // Whole paise: more than the exact share means more than its whole part, so the sentence is exact too.
  const share = `${displayRupees(Math.floor(loanAmountPaise / incomeShare))}, one forty-eighth of the requested ${displayRupees(loanAmountPaise)}`;
  const income = `Your monthly income of ${displayRupees(monthlyIncomePaise)}`;
  if (monthlyIncomePaise * incomeShare > loanAmountPaise) {
    const incomeSufficient = { code: 'INCOME_SUFFICIENT', message: `${income} is more than ${share}.` };
    return { outcome: 'PRE_APPROVED', reasons: [incomeSufficient, scoreSufficient] };
  }
  const incomeInsufficient = {
    code: 'INCOME_INSUFFICIENT',
    message: `${income} is not more than ${share}, so an underwriter looks at your application.`,
  };
  return { outcome: 'MANUAL_REVIEW', reasons: [incomeInsufficient, scoreSufficient] };
}
