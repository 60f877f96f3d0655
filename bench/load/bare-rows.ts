import { randomBytes, randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { syntheticPan } from './documents.ts';

/** What PostgreSQL itself takes: the rows of a submission, many to a transaction, by a driver and nothing else. */
export type BareRows = { databaseUrl: string; rowsPerTransaction: number; sessions: number; seconds: number };

export type BareRowsResult = { stored: number; seconds: number };

const statement = {
  name: 'submissions',
  text: `
    with input as (
      select * from unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::text[], $5::numeric[], $6::numeric[], $7::text[],
        $8::bytea[], $9::uuid[], $10::text[], $11::text[], $12::jsonb[])
      as t (id, pan_ciphertext, pan_index, pan_masked, income, amount, correlation_id, digest, event_id, subject,
        message, payload)
    ), keys as (
      insert into idempotency_keys (caller, key_digest, application_id, fingerprint)
      select '', digest, id, digest from input
    ), stored as (
      insert into applications (id, pan_ciphertext, pan_index, pan_masked, monthly_income_inr, loan_amount_inr,
        loan_type, status, version, correlation_id, synthetic, event_hash)
      select id, pan_ciphertext, pan_index, pan_masked, income, amount, 'PERSONAL', 'PENDING', 1, correlation_id, false,
        digest from input
    ), recorded as (
      insert into application_events (id, application_id, version, status, actor, reasons, payload, hash)
      select event_id, id, 1, 'PENDING', 'gateway', '[]', payload, digest from input
    )
    insert into outbox (id, application_id, subject, message) select event_id, id, subject, message from input`,
};

export async function runBareRows(options: BareRows): Promise<BareRowsResult> {
  const { databaseUrl, rowsPerTransaction, sessions, seconds } = options;
  const clients = Array.from({ length: sessions }, () => new Client({ connectionString: databaseUrl }));
  await Promise.all(clients.map((client) => client.connect()));
  // As a session of the services has it.
  await Promise.all(clients.map((client) => client.query('set plan_cache_mode = force_generic_plan')));
  const begunAt = performance.now();
  const endAt = begunAt + seconds * 1_000;
  let stored = 0;
  await Promise.all(
    clients.map(async (client) => {
      while (performance.now() < endAt) {
        await client.query({ ...statement, values: columns(rowsPerTransaction) });
        stored += rowsPerTransaction;
      }
    }),
  );
  const took = (performance.now() - begunAt) / 1_000;
  await Promise.all(clients.map((client) => client.end()));
  return { stored, seconds: took };
}

// As long as what the gateway stores; its ids grow with time, which keeps the indexes' writes together.
function columns(count: number): unknown[][] {
  const rows = Array.from({ length: count }, () => {
    const id = growingId();
    const eventId = growingId();
    return [
      id,
      randomBytes(60),
      randomBytes(32),
      `${syntheticPan().slice(0, 5)}***4F`,
      '75000.00',
      '500000.00',
      randomUUID(),
      randomBytes(32),
      eventId,
      `loan.applications.submitted.${id}`,
      message,
      payload,
    ];
  });
  return (rows[0] ?? []).map((_, column) => rows.map((row) => row[column]));
}

const payload = JSON.stringify({ monthlyIncomeInr: '75000.00', loanAmountInr: '500000.00', loanType: 'PERSONAL' });
const message = 'x'.repeat(620);

function growingId(): string {
  const time = Date.now().toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}`;
}
