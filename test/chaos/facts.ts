import { sql } from '@prequal/persistence';
import { type ChainedEvent, durables, hashOfEvent } from '@prequal/schema';
import type { Planted } from './faults/fault.ts';
import type { Submission } from './submit.ts';
import type { System } from './system.ts';
import type { Watcher } from './watch.ts';

type StoredApplication = {
  id: string;
  status: string;
  version: number;
  score: number | null;
  income: string;
  amount: string;
  loanType: string;
  eventHash: string | null;
};
type StoredEvent = {
  applicationId: string;
  version: number;
  status: string;
  hash: string;
  previousHash: string | null;
  /** whether its content has its hash */
  isSound: boolean;
};
type StoredDecision = { applicationId: string; version: number; outcome: string; decidedBy: string };
type StoredDeadLetter = {
  subject: string;
  applicationId: string | null;
  errorClass: string;
  state: string;
  consumer: string;
};
export type Backlog = {
  pending: number;
  outbox: number;
  consumers: { name: string; waiting: number; unsettled: number }[];
};

/** What PostgreSQL and NATS hold once everything has healed, beside what the clients were told. */
export type Facts = {
  submissions: readonly Submission[];
  watchers: readonly Watcher[];
  planted: readonly Planted[];
  /** when streams last lost messages, in the history's time; undefined when they never did */
  lostMessagesAtMs: number | undefined;
  applications: Map<string, StoredApplication>;
  events: Map<string, StoredEvent[]>;
  decisions: Map<string, StoredDecision[]>;
  deadLetters: StoredDeadLetter[];
};

export type Stored = Pick<Facts, 'applications' | 'events' | 'decisions' | 'deadLetters'>;

export async function readStored({ database }: System): Promise<Stored> {
  const connection = database.sql();
  const [applications, events, decisions, deadLetters] = await Promise.all([
    sql<StoredApplication>`select id, status, version, cibil_score as score, monthly_income_inr as income,
      loan_amount_inr as amount, loan_type as "loanType", encode(event_hash, 'hex') as "eventHash" from applications`.execute(
      connection,
    ),
    sql<
      ChainedEvent & { hash: string }
    >`select id, application_id as "applicationId", version, kind, status, actor, reasons, payload,
      to_char(occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "occurredAt", encode(hash, 'hex') as hash,
      encode(decision_hash, 'hex') as "decisionHash", encode(previous_hash, 'hex') as "previousHash"
      from application_events order by application_id, version`.execute(connection),
    sql<StoredDecision>`select application_id as "applicationId", version, outcome, decided_by as "decidedBy"
      from decisions order by application_id, version`.execute(connection),
    sql<StoredDeadLetter>`select subject, application_id as "applicationId", error_class as "errorClass", state, consumer
      from dead_letters`.execute(connection),
  ]);
  return {
    applications: new Map(applications.rows.map((row) => [row.id, row])),
    events: Map.groupBy(
      events.rows.map((event) => ({ ...event, isSound: hashOfEvent(event) === event.hash })),
      ({ applicationId }) => applicationId,
    ),
    decisions: Map.groupBy(decisions.rows, ({ applicationId }) => applicationId),
    deadLetters: deadLetters.rows,
  };
}

/** What is still under way. Throws when a server cannot be asked. */
export async function readBacklog({ database, broker }: System): Promise<Backlog> {
  const { rows } = await sql<{ pending: number; outbox: number }>`select
    (select count(*)::integer from applications where status = 'PENDING') as pending,
    (select count(*)::integer from outbox) as outbox`.execute(database.sql());
  const { jsm } = await broker.jetStream();
  const consumers = durables.map(async ({ name, stream }) => {
    const { num_pending: waiting, num_ack_pending: unsettled } = await jsm.consumers.info(stream, name);
    return { name, waiting, unsettled };
  });
  return { pending: rows[0]?.pending ?? 0, outbox: rows[0]?.outbox ?? 0, consumers: await Promise.all(consumers) };
}
