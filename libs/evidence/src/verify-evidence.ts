import type { Evaluator } from '@prequal/policy';
import { type Evidence, evidence as sound } from '@prequal/schema';
import { checkDecisions } from './check-decisions.ts';
import { checkHistory } from './check-history.ts';

export type Verification = {
  intact: boolean;
  /** in sentences: every fault, and what could not be recomputed; empty when all was and nothing is wrong */
  findings: string[];
};

/**
 * Checks the history of an application and recomputes its decisions, from the evidence alone. Throws when the policies
 * could not be asked: `EvaluatorAwayError`, `OverloadedError`.
 */
export async function verifyEvidence(
  evidence: Evidence,
  { evaluate }: Pick<Evaluator, 'evaluate'>,
): Promise<Verification> {
  // A database keeps anything in a JSON column, whatever we once wrote there.
  const { error } = sound.safeParse(evidence);
  if (error) {
    const places = new Set(error.issues.map(({ path }) => path.join('.')));
    return {
      intact: false,
      findings: [...places].map((place) => `What is stored was changed: ${place} cannot be what it is.`),
    };
  }
  const findings = [...checkHistory(evidence), ...(await checkDecisions(evidence, evaluate))];
  return {
    intact: !findings.some(({ isFault }) => isFault),
    findings: findings.map(({ sentence }) => sentence),
  };
}
