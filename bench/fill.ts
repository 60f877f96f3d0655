import { createHash } from 'node:crypto';
import { type Database, sql } from '@prequal/persistence';

/** at once: so much is written before anything of it can be read */
const batch = 500_000;

/**
 * Applications by the million, one a second until now: most were decided long ago, one in seventy waits for an
 * underwriter, a few have only just come; so many to a PAN, each at its own place of the index as with real ones.
 */
export async function fillApplications(database: Database, applications: number, perPan: number): Promise<void> {
  const pans = Math.max(1, Math.floor(applications / perPan));
  for (let from = 0; from < applications; from += batch) {
    const to = Math.min(applications, from + batch);
    await sql`
      with stored as (
        insert into applications (id, pan_ciphertext, pan_index, pan_masked, monthly_income_inr, loan_amount_inr,
          loan_type, status, cibil_score, version, correlation_id, synthetic, created_at, event_hash)
        select gen_random_uuid(), '\\x01', sha256(int4send(n % ${pans}::integer)), 'ABCDE***4F',
          75000, 500000, (array['PERSONAL', 'HOME', 'AUTO'])[1 + n % 3],
          case when n > ${applications} - 20 then 'PENDING' when n % 70 = 0 then 'MANUAL_REVIEW'
            when n % 5 = 0 then 'REJECTED' else 'PRE_APPROVED' end,
          700, 2, 'a-bench', n % 1000 = 1, now() - (${applications}::integer - n) * interval '1 second', sha256('')
        from generate_series(${from}::integer + 1, ${to}::integer) n
        returning id, status, created_at
      ), keys as (
        insert into idempotency_keys (caller, key_digest, application_id, fingerprint, created_at)
        select '', sha256(uuid_send(id)), id, sha256(''), created_at from stored
      )
      insert into application_events (id, application_id, version, status, actor, reasons, payload, occurred_at,
        recorded_at, hash)
      select gen_random_uuid(), id, 2, status, 'a-bench', '[]', '{}', created_at, created_at, sha256('')
      from stored where status <> 'PENDING' order by created_at`.execute(database.sql());
  }
  await sql`vacuum analyze applications`.execute(database.sql());
  await sql`vacuum analyze application_events`.execute(database.sql());
  await sql`vacuum analyze idempotency_keys`.execute(database.sql());
}

/** What stands for the nth PAN in the index. */
export function filledPanIndex(n: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(n);
  return createHash('sha256').update(bytes).digest();
}

/** Applications with these ids that were just submitted and wait. */
export async function storePending(database: Database, ids: readonly string[]): Promise<void> {
  await sql`
    with stored as (
      insert into applications (id, pan_ciphertext, pan_index, pan_masked, monthly_income_inr, loan_amount_inr,
        loan_type, status, version, correlation_id, synthetic, event_hash)
      select id, '\\x01', '\\x01', 'ABCDE***4F', 75000, 500000, 'PERSONAL', 'PENDING', 1, 'a-bench', false, sha256('')
      from unnest(${ids}::uuid[]) id returning id
    )
    insert into application_events (id, application_id, version, status, actor, reasons, payload, hash)
    select gen_random_uuid(), id, 1, 'PENDING', 'gateway', '[]', '{}', sha256('') from stored`.execute(database.sql());
}
