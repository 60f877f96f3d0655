import { createHash } from 'node:crypto';
import { cibilScoreRange, type LoanType } from '@prequal/schema';

export type ScoreFacts = {
  applicationId: string;
  panNumber: string;
  monthlyIncomePaise: number;
  loanType: LoanType;
};

/** PANs that stand for a good and a bad history in the sandbox (design section 2). */
const sandboxFixtures: Readonly<Record<string, number>> = { ABCDE1234F: 790, FGHIJ5678K: 610 };

const baseScore = 650;
const highIncomePaise = 75_000_00;
const lowIncomePaise = 30_000_00;
const loanTypeShift = { PERSONAL: -10, HOME: 10, AUTO: 0 } as const satisfies Record<LoanType, number>;

/**
 * The simulated bureau's score, 300 to 900 (design section 2). The same application always gets the same
 * score, so that a message delivered twice tells the same story.
 */
export function score(facts: ScoreFacts, { useSandboxFixtures }: { useSandboxFixtures: boolean }): number {
  const fixture = useSandboxFixtures ? sandboxFixtures[facts.panNumber] : undefined;
  if (fixture !== undefined) return fixture;
  const sum =
    baseScore + incomeShift(facts.monthlyIncomePaise) + loanTypeShift[facts.loanType] + variation(facts.applicationId);
  return Math.min(cibilScoreRange.max, Math.max(cibilScoreRange.min, sum));
}

function incomeShift(monthlyIncomePaise: number): number {
  if (monthlyIncomePaise > highIncomePaise) return 40;
  return monthlyIncomePaise < lowIncomePaise ? -20 : 0;
}

/** −5 to +5, from a hash of the application's id: spread evenly, yet nothing is left to chance. */
export function variation(applicationId: string): number {
  return (createHash('sha256').update(applicationId).digest().readUInt32BE() % 11) - 5;
}
