import type { EventName } from './events.ts';
import { events } from './events.ts';

/**
 * The map of the system: which streams keep the events, who listens to what, and what each may emit.
 * Streams and consumers are provisioned from it, and handlers are type-checked against it.
 */

export type Stream = {
  subjects: readonly string[];
  maxAgeMs: number;
  /** `new`: a full stream refuses, and the outbox keeps the event. `old`: a full stream forgets its oldest. */
  discard: 'new' | 'old';
  /** older messages of the same subject make way for the newest; without it all are kept */
  maxPerSubject?: number;
};

const dayMs = 24 * 60 * 60 * 1_000;

/** Kept on disk; their size is bounded by the age and by the server's own `max_file_store`. */
export const streams = {
  LOAN_APPLICATIONS: { subjects: [all('applicationSubmitted')], maxAgeMs: 7 * dayMs, discard: 'new' },
  LOAN_CREDIT_REPORTS: { subjects: [all('creditReportGenerated')], maxAgeMs: 7 * dayMs, discard: 'new' },
  LOAN_STATUS: { subjects: [all('statusChanged')], maxAgeMs: 7 * dayMs, discard: 'old' },
  LOAN_DLQ: { subjects: ['loan.dlq.>'], maxAgeMs: 30 * dayMs, discard: 'old' },
  // Notes on messages that were not handled at their first delivery: workers come and go, and count together.
  LOAN_ATTEMPTS: { subjects: ['loan.attempts.>'], maxAgeMs: 7 * dayMs, discard: 'old', maxPerSubject: 1 },
} as const satisfies Record<string, Stream>;

export type StreamName = keyof typeof streams;

/** The broker forgets a message id after this; it is an optimisation, the database decides what is new. */
export const dedupeWindowMs = 5 * 60 * 1_000;

type Consumer = { stream: StreamName; consumes: EventName; emits: readonly EventName[] };

export const consumers = {
  scoring: { stream: 'LOAN_APPLICATIONS', consumes: 'applicationSubmitted', emits: ['creditReportGenerated'] },
  decisioning: { stream: 'LOAN_CREDIT_REPORTS', consumes: 'creditReportGenerated', emits: ['statusChanged'] },
} as const satisfies Record<string, Consumer>;

export type ConsumerName = keyof typeof consumers;
export type Consumed<Name extends ConsumerName> = (typeof consumers)[Name]['consumes'];
export type Emitted<Name extends ConsumerName> = (typeof consumers)[Name]['emits'][number];

/** The durable consumer that records what the others gave up. What it reads need not be an event at all. */
export const deadLetterConsumer = { name: 'dead-letters', stream: 'LOAN_DLQ', emits: ['statusChanged'] } as const;

export type Durable = {
  name: string;
  stream: StreamName;
  /** whatever it misses is found in PostgreSQL and comes again */
  isReconciled: boolean;
};

/** Every durable consumer with the stream it reads. */
export const durables: readonly Durable[] = [
  ...Object.entries(consumers).map(([name, { stream }]) => ({ name, stream, isReconciled: true })),
  { ...deadLetterConsumer, isReconciled: false },
];

/** A consumer that goes by itself and only tells where a new one of this name is to begin. */
export function beginningOf(consumer: string): string {
  return `${consumer}-beginning`;
}

/**
 * What each service publishes from the outbox. Besides what it says itself, this is what operators replay: scoring
 * has no database, so decisioning publishes its reports again. A status is the policy's or an underwriter's word.
 */
export const outboxes = {
  gateway: ['applicationSubmitted', 'statusChanged'],
  decisioning: ['statusChanged', 'creditReportGenerated'],
} as const satisfies Record<string, readonly EventName[]>;

/** Where a message ends that a consumer can never handle; `unknown` stands for an application without an id. */
export function deadLetterSubject(consumer: string, applicationId: string | undefined): string {
  return `loan.dlq.${consumer}.${applicationId ?? 'unknown'}`;
}

/** Where a consumer keeps its newest note on the message with this id. */
export function attemptsSubject(consumer: string, messageId: string): string {
  return `loan.attempts.${consumer}.${messageId}`;
}

/** Where messages may hold what is personal of an application: its PAN, encrypted, or whatever a worker gave up. */
export const personalStreams = ['LOAN_APPLICATIONS', 'LOAN_DLQ'] as const satisfies StreamName[];

export function personalSubjects(applicationId: string): { stream: StreamName; subject: string }[] {
  const givenUp = durables.map(({ name }) => deadLetterSubject(name, applicationId));
  return [
    { stream: 'LOAN_APPLICATIONS', subject: `${events.applicationSubmitted.subjectPrefix}.${applicationId}` },
    ...givenUp.map((subject) => ({ stream: 'LOAN_DLQ' as const, subject })),
  ];
}

function all(name: EventName): string {
  return `${events[name].subjectPrefix}.*`;
}
