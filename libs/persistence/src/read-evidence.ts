import type { Evidence } from '@prequal/schema';
import { type Database, sql } from './database.ts';

/** All that is stored of one application's decisions, as of one moment; undefined when there is no such application. */
export async function readEvidence(database: Database, applicationId: string): Promise<Evidence | undefined> {
  return database
    .sql()
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute(async (snapshot) => {
      const { rows } = await sql<Evidence['application']>`
        select a.id, a.monthly_income_inr::text as "monthlyIncomeInr", a.loan_amount_inr::text as "loanAmountInr",
          a.loan_type as "loanType", a.consent, a.status, a.cibil_score as "cibilScore", a.version, ${instant('a.created_at')} as "createdAt",
          encode(a.event_hash, 'hex') as "eventHash", exists (select from erasures r where r.application_id = a.id) as erased
        from applications a where a.id = ${applicationId}`.execute(snapshot);
      const [application] = rows;
      if (!application) return undefined;
      const { rows: events } = await sql<Evidence['events'][number]>`
        select id, application_id as "applicationId", version, kind, status, actor, reasons, payload,
          ${instant('occurred_at')} as "occurredAt", encode(decision_hash, 'hex') as "decisionHash",
          encode(previous_hash, 'hex') as "previousHash", encode(hash, 'hex') as hash
        from application_events where application_id = ${applicationId} order by version, kind desc`.execute(snapshot);
      const { rows: decisions } = await sql<Evidence['decisions'][number]>`
        select application_id as "applicationId", version, outcome, decided_by as "decidedBy",
          policy_version as "policyVersion", policy_hash as "policyHash", inputs, bureau_report as "bureauReport", reasons,
          ${instant('decided_at')} as "decidedAt"
        from decisions where application_id = ${applicationId} order by version`.execute(snapshot);
      const hashes = decisions.flatMap(({ policyHash }) => policyHash ?? []);
      const { rows: policies } = await sql<Evidence['policies'][number]>`
        select version, hash, document from policies where hash = any(${hashes}::text[]) order by version`.execute(
        snapshot,
      );
      return { application, events, decisions, policies };
    });
}

/** As `Date.toISOString` writes it. */
function instant(column: string) {
  return sql<string>`to_char(${sql.ref(column)} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
}
