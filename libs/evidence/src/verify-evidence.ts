import type { Evidence } from '@prequal/schema';
import { checkDecisions } from './check-decisions.ts';
import { checkHistory } from './check-history.ts';

export type Verification = {
  intact: boolean;
  /** in sentences: every fault, and what could not be recomputed; empty when all was and nothing is wrong */
  findings: string[];
};

/** Checks the history of an application and recomputes its decisions, from the evidence alone. */
export async function verifyEvidence(evidence: Evidence): Promise<Verification> {
  const findings = [...checkHistory(evidence), ...(await checkDecisions(evidence))];
  return {
    intact: !findings.some(({ isFault }) => isFault),
    findings: findings.map(({ sentence }) => sentence),
  };
}
