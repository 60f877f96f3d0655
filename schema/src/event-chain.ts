import type { ApplicationStatus, Consent, DecisionMaker, DecisionReason, LoanType } from './application.ts';
import { canonical, sha256 } from './canonical.ts';
import type { BureauReport } from './events.ts';

/**
 * The history of an application is a chain: each event carries the hash of the one before, and a hash of itself with
 * that in it. A hash is the SHA-256, in hexadecimal digits, of the members below and no others as JSON in the
 * canonical form of RFC 8785. Writers, `verifyDecision` and the check of a file all make it here.
 */

/** A change of status, or that the personal data was erased, which leaves status and version as they are. */
export const eventKinds = ['STATUS', 'ERASURE'] as const;
export type EventKind = (typeof eventKinds)[number];

/** As it is stored, in JSON. */
export type StoredConsent = Omit<Consent, 'givenAt'> & { givenAt: string };

/** What was submitted, with the first event; the score, with a decision. */
export type EventPayload = {
  readonly monthlyIncomeInr?: string | undefined;
  readonly loanAmountInr?: string | undefined;
  readonly loanType?: LoanType | undefined;
  readonly consent?: StoredConsent | undefined;
  readonly cibilScore?: number | null | undefined;
};

export type ChainedEvent = {
  id: string;
  applicationId: string;
  version: number;
  kind: EventKind;
  status: ApplicationStatus;
  actor: string;
  reasons: readonly DecisionReason[];
  payload: EventPayload;
  /** an instant in UTC with milliseconds, as `Date.toISOString` writes it */
  occurredAt: string;
  /** of the decision that made this change of status; null when none did */
  decisionHash: string | null;
  /** of the event before it; null for the first one */
  previousHash: string | null;
};

/** A decision with its evidence. */
export type DecisionRecord = {
  applicationId: string;
  version: number;
  outcome: ApplicationStatus;
  decidedBy: DecisionMaker;
  policyVersion: string | null;
  policyHash: string | null;
  inputs: Readonly<Record<string, string>>;
  bureauReport: BureauReport | null;
  reasons: readonly DecisionReason[];
  decidedAt: string;
};

export function hashOfEvent(event: ChainedEvent): string {
  return sha256(canonicalEvent(event));
}

/**
 * The canonical form of an event before and after its time, for a writer that leaves the time to the database: what is
 * to be hashed is the first, the instant, and the second.
 */
export function canonicalAroundTime(event: Omit<ChainedEvent, 'occurredAt'>): { before: string; after: string } {
  // Quotation marks in a text of the event stand behind a backslash, so these are its own.
  const [before = '', after = ''] = canonicalEvent({ ...event, occurredAt: '' }).split('"occurredAt":""');
  return { before: `${before}"occurredAt":"`, after: `"${after}` };
}

const eventMembers = [
  'id',
  'applicationId',
  'version',
  'kind',
  'status',
  'actor',
  'reasons',
  'payload',
  'occurredAt',
  'decisionHash',
  'previousHash',
] as const satisfies (keyof ChainedEvent)[];

const decisionMembers = [
  'applicationId',
  'version',
  'outcome',
  'decidedBy',
  'policyVersion',
  'policyHash',
  'inputs',
  'bureauReport',
  'reasons',
  'decidedAt',
] as const satisfies (keyof DecisionRecord)[];

function canonicalEvent(event: ChainedEvent): string {
  return canonical({ form: 'prequal-event-1', ...only(event, eventMembers) });
}

export function hashOfDecision(decision: DecisionRecord): string {
  return sha256(canonical({ form: 'prequal-decision-1', ...only(decision, decisionMembers) }));
}

function only<Whole extends object, Key extends keyof Whole>(whole: Whole, keys: readonly Key[]): Pick<Whole, Key> {
  const part: Partial<Pick<Whole, Key>> = {};
  for (const key of keys) part[key] = whole[key];
  return part as Pick<Whole, Key>;
}
