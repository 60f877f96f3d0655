import type { DecisionOutcome, DecisionReason, LoanType } from '@prequal/schema';

/** What a policy decides on: all of it and nothing else, so that the stored inputs decide again in the same way. */
export type PolicyInput = {
  /** 300 to 900; null when the bureau knows no history, which is not a score */
  score: number | null;
  monthlyIncomePaise: number;
  loanAmountPaise: number;
  loanType: LoanType;
};

/** `reasons` are never empty, the main one first. */
export type Verdict = { outcome: DecisionOutcome; reasons: DecisionReason[] };

/** What the checker has against a document. */
export type Finding = {
  kind: FindingKind;
  /** sentences for an analyst, with the inputs and what came out, amounts in rupees */
  message: string;
  /** the inputs that show it, as they can be tried again; empty when the document alone shows it */
  examples: PolicyInput[];
};

export const findingKinds = [
  /** larger than the limits */
  'TOO_LARGE',
  /** not a JDM document of the parts that are allowed, or an expression that the engine cannot read */
  'UNREADABLE',
  /** an input for which no row decides */
  'UNDECIDED',
  /** an evaluation that fails */
  'THROWS',
  'UNKNOWN_OUTCOME',
  /** a reason that the document does not declare, or a declaration that does not hold for the verdict */
  'REASONS',
  /** a better score or a higher income that gives a worse outcome */
  'NOT_MONOTONE',
  /** an applicant who is rejected for lack of history */
  'REJECTS_NO_HISTORY',
  /** the largest loan on the smallest income */
  'INCOME_IGNORED',
  /** rows that contradict each other */
  'OVERLAP',
  /** verdicts that depend on chance or on the clock */
  'UNSTABLE',
  /** an evaluation that takes too long, or that ends the process */
  'UNFINISHED',
] as const;
export type FindingKind = (typeof findingKinds)[number];

/** The document cannot be a policy; `findings` say why. */
export class InvalidPolicyError extends Error {
  override readonly name = 'InvalidPolicyError';
  readonly findings: Finding[];

  constructor(findings: Finding[]) {
    super(findings.map(({ message }) => message).join(' '));
    this.findings = findings;
  }
}

/** A policy gave no verdict for an input: the document is at fault, which the checker should have found. */
export class PolicyFaultError extends Error {
  override readonly name = 'PolicyFaultError';
  readonly kind: FindingKind;

  constructor(kind: FindingKind, message: string) {
    super(message);
    this.kind = kind;
  }
}
