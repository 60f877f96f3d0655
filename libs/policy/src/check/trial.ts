import { type DecisionOutcome, displayRupees } from '@prequal/schema';
import { type Finding, PolicyFaultError, type PolicyInput, type Verdict } from '../verdict.ts';

export type Evaluate = (input: PolicyInput) => Promise<Verdict>;

/** What came out for an input: a verdict or a fault. */
export type Trial =
  | { input: PolicyInput; verdict: Verdict; fault?: never }
  | { input: PolicyInput; fault: PolicyFaultError; verdict?: never };

export async function tryInput(evaluate: Evaluate, input: PolicyInput): Promise<Trial> {
  try {
    return { input, verdict: await evaluate(input) };
  } catch (error) {
    if (error instanceof PolicyFaultError) return { input, fault: error };
    throw error;
  }
}

/** The verdict without its sentences: where it changes there is a boundary. */
export function gist({ verdict, fault }: Trial): string {
  return verdict
    ? `${verdict.outcome} ${verdict.reasons.map(({ code }) => code).join()}`
    : `${fault.kind} ${fault.message}`;
}

export const rank: Record<DecisionOutcome, number> = { REJECTED: 0, MANUAL_REVIEW: 1, PRE_APPROVED: 2 };

/** An input as people say it. */
export function describe({ score, monthlyIncomePaise, loanAmountPaise, loanType }: PolicyInput): string {
  const history = score === null ? 'no credit history' : `a score of ${score}`;
  return `${loanType} loan of ${displayRupees(loanAmountPaise)}, ${history}, monthly income ${displayRupees(monthlyIncomePaise)}`;
}

export function faultFinding(input: PolicyInput, { kind, message }: PolicyFaultError): Finding {
  return { kind, message: `${describe(input)}: ${message}`, examples: [input] };
}

/** What one trial shows by itself. */
export function judgeTrial({ input, verdict, fault }: Trial): Finding[] {
  if (fault) return [faultFinding(input, fault)];
  if (input.score === null && verdict.outcome === 'REJECTED') {
    const message = `${describe(input)}: REJECTED. The Reserve Bank forbids rejecting first-time borrowers for lack of credit history; it must be MANUAL_REVIEW or PRE_APPROVED.`;
    return [{ kind: 'REJECTS_NO_HISTORY', message, examples: [input] }];
  }
  return [];
}
