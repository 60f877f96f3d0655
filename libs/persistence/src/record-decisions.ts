import type { BureauReport, DecisionMaker, DecisionOutcome, DecisionReason } from '@prequal/schema';
import { type Database, sql } from './database.ts';
import type { OutboxMessage } from './relay.ts';

/** A decision that is to be written: what was decided, by whom, on what evidence, and how it is announced. */
export type NewDecision = {
  applicationId: string;
  /** of the application as it was read; if it has another one when this is written, nothing is */
  version: number;
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
 * decided meanwhile. Only PENDING may be decided, by the policy also what the system gave up, and by an underwriter
 * what is in review, see `resolveReview` for who may; that is asked of the locked rows, since a condition on the updated table's status makes PostgreSQL read all that are PENDING.
 */
export async function recordDecisions(
  database: Pick<Database, 'sql'>,
  decisions: readonly NewDecision[],
): Promise<Set<string>> {
  if (decisions.length === 0) return new Set();
  const column = <T>(of: (decision: NewDecision) => T): T[] => decisions.map(of);
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
        ${column((d) => JSON.stringify(d.reasons))}::jsonb[],
        ${column((d) => JSON.stringify(d.inputs))}::jsonb[],
        ${column((d) => (d.report === null ? null : JSON.stringify(d.report)))}::jsonb[],
        ${column((d) => d.decidedAt.toISOString())}::timestamptz[],
        ${column((d) => d.message.id)}::uuid[],
        ${column((d) => d.message.subject)}::text[],
        ${column((d) => d.message.message)}::text[]
      ) as t (id, version, outcome, decided_by, actor, policy_version, policy_hash, cibil_score, reasons, inputs, report,
        decided_at, event_id, subject, message)
    ), locked as (
      select a.id, a.status, ${givenUp()} as given_up
      from applications a where a.id = any(select id from input) order by a.id for update
    ), updated as (
      update applications a set status = i.outcome, cibil_score = i.cibil_score, version = a.version + 1
      from input i join locked using (id)
      where a.id = i.id and a.version = i.version
        and case i.decided_by
          when 'UNDERWRITER' then locked.status = 'MANUAL_REVIEW'
          when 'POLICY' then locked.status = 'PENDING' or locked.given_up
          else locked.status = 'PENDING' end
      returning a.id, a.version
    ), decided as (
      insert into decisions (application_id, version, outcome, decided_by, policy_version, policy_hash, inputs,
        bureau_report, reasons, decided_at)
      select id, updated.version, outcome, decided_by, policy_version, policy_hash, inputs, report, reasons, decided_at
      from input join updated using (id)
    ), recorded as (
      insert into application_events (id, application_id, version, status, actor, reasons, payload, occurred_at)
      select event_id, id, updated.version, outcome, actor, reasons,
        jsonb_build_object('cibilScore', cibil_score), decided_at
      from input join updated using (id)
    ), queued as (
      insert into outbox (id, application_id, subject, message)
      select event_id, id, subject, message from input join updated using (id)
    )
    select id from updated`.execute(database.sql());
  return new Set(rows.map((row) => row.id));
}

/** True of an application `a` that is in review only because its processing failed: nobody has looked at it yet. */
export function givenUp() {
  return sql<boolean>`(a.status = 'MANUAL_REVIEW' and exists (
    select 1 from decisions d where d.application_id = a.id and d.version = a.version and d.decided_by = 'SYSTEM'))`;
}
