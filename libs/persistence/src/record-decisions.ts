import {
  type BureauReport,
  type DecisionMaker,
  type DecisionOutcome,
  type DecisionReason,
  hashOfDecision,
  hashOfEvent,
} from '@prequal/schema';
import { type Database, sql } from './database.ts';
import { jsonLines } from './json-lines.ts';
import type { OutboxMessage } from './relay.ts';

/** A decision that is to be written: what was decided, by whom, on what evidence, and how it is announced. */
export type NewDecision = {
  applicationId: string;
  /** of the application as it was read; if it has another one when this is written, nothing is */
  version: number;
  /** of the last event of its history, as it was read with the version; the event that is written is chained to it */
  eventHash: string | null;
  outcome: DecisionOutcome;
  decidedBy: DecisionMaker;
  /** whom the history names, e.g. decisioning, or underwriter:<subject> */
  actor: string;
  /** null when no policy was asked */
  policy: { version: string; hash: string } | null;
  cibilScore: number | null;
  reasons: DecisionReason[];
  inputs: Record<string, string>;
  report: BureauReport | null;
  decidedAt: Date;
  /** announces it, and carries the id of the event in the history */
  message: OutboxMessage;
};

/**
 * Writes status, decision, event and outbox of all decisions: all or nothing, in one round trip. Rows are
 * locked in the order of their ids, so that two workers with the same applications in hand wait for each
 * other instead of deadlocking. Answers the ids of what was really written: the guard leaves out what was
 * decided meanwhile, and what another event was added to, after which this one would not belong. Only PENDING may be
 * decided, by the policy also what the system gave up, and by an underwriter what is in review, see `resolveReview`
 * for who may; that is asked of the locked rows, since a condition on the updated table's status makes PostgreSQL
 * read all that are PENDING.
 */
export async function recordDecisions(
  database: Pick<Database, 'sql'>,
  decisions: readonly NewDecision[],
): Promise<Set<string>> {
  if (decisions.length === 0) return new Set();
  const chained = decisions.map(withHashes);
  const column = <T>(of: (decision: (typeof chained)[number]) => T): T[] => chained.map(of);
  const { rows } = await sql<{ id: string }>`
    with input as (
      select * from unnest(
        ${column((d) => d.applicationId)}::uuid[],
        ${column((d) => d.version)}::integer[],
        ${column((d) => d.outcome)}::text[],
        ${column((d) => d.decidedBy)}::text[],
        ${column((d) => d.actor)}::text[],
        ${column((d) => d.policy?.version ?? null)}::text[],
        ${column((d) => d.policy?.hash ?? null)}::text[],
        ${column((d) => d.cibilScore)}::integer[],
        ${jsonLines(column((d) => JSON.stringify(d.reasons)))},
        ${jsonLines(column((d) => JSON.stringify(d.inputs)))},
        ${jsonLines(column((d) => (d.report === null ? null : JSON.stringify(d.report))))},
        ${column((d) => d.decidedAt.toISOString())}::timestamptz[],
        ${column((d) => d.message.id)}::uuid[],
        ${column((d) => d.message.subject)}::text[],
        ${jsonLines(column((d) => d.message.message))},
        ${column((d) => bytes(d.eventHash))}::bytea[],
        ${column((d) => bytes(d.decisionHash))}::bytea[],
        ${column((d) => bytes(d.hash))}::bytea[]
      ) as t (id, version, outcome, decided_by, actor, policy_version, policy_hash, cibil_score, reasons, inputs, report,
        decided_at, event_id, subject, message, previous_hash, decision_hash, hash)
    ), locked as (
      select a.id, a.status, ${givenUp()} as given_up
      from applications a where a.id = any(select id from input) order by a.id for update
    ), updated as (
      update applications a set status = i.outcome, cibil_score = i.cibil_score, version = a.version + 1,
        event_hash = i.hash
      from input i join locked using (id)
      where a.id = i.id and a.version = i.version and a.event_hash is not distinct from i.previous_hash
        and case i.decided_by
          when 'UNDERWRITER' then locked.status = 'MANUAL_REVIEW'
          when 'POLICY' then locked.status = 'PENDING' or locked.given_up
          else locked.status = 'PENDING' end
      returning a.id, a.version
    ), decided as (
      insert into decisions (application_id, version, outcome, decided_by, policy_version, policy_hash, inputs,
        bureau_report, reasons, decided_at)
      select id, updated.version, outcome, decided_by, policy_version, policy_hash, inputs::jsonb, report::jsonb,
        reasons::jsonb, decided_at
      from input join updated using (id)
    ), recorded as (
      insert into application_events (id, application_id, version, status, actor, reasons, payload, occurred_at,
        decision_hash, previous_hash, hash)
      select event_id, id, updated.version, outcome, actor, reasons::jsonb,
        jsonb_build_object('cibilScore', cibil_score), decided_at, decision_hash, previous_hash, hash
      from input join updated using (id)
    ), queued as (
      insert into outbox (id, application_id, subject, message)
      select event_id, id, subject, message from input join updated using (id)
    )
    select id from updated`.execute(database.sql());
  return new Set(rows.map((row) => row.id));
}

/** Of the decision, and of the event that it becomes part of the history with, one version later. */
function withHashes(decision: NewDecision) {
  const { applicationId, outcome, policy, reasons, cibilScore, report, decidedAt } = decision;
  const version = decision.version + 1;
  const at = decidedAt.toISOString();
  const decisionHash = hashOfDecision({
    ...decision,
    version,
    policyVersion: policy?.version ?? null,
    policyHash: policy?.hash ?? null,
    bureauReport: report,
    decidedAt: at,
  });
  const hash = hashOfEvent({
    id: decision.message.id,
    applicationId,
    version,
    kind: 'STATUS',
    status: outcome,
    actor: decision.actor,
    reasons,
    payload: { cibilScore },
    occurredAt: at,
    decisionHash,
    previousHash: decision.eventHash,
  });
  return { ...decision, decisionHash, hash };
}

function bytes(hash: string | null): Buffer | null {
  return hash === null ? null : Buffer.from(hash, 'hex');
}

/** The hash of the last event of an application `a`, as it is read together with the version. */
export function lastEventHash() {
  return sql<string | null>`encode(a.event_hash, 'hex')`;
}

/** True of an application `a` that is in review only because its processing failed: nobody has looked at it yet. */
export function givenUp() {
  return sql<boolean>`(a.status = 'MANUAL_REVIEW' and exists (
    select 1 from decisions d where d.application_id = a.id and d.version = a.version and d.decided_by = 'SYSTEM'))`;
}
