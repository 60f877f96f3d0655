import { randomUUID } from 'node:crypto';
import { createMetrics } from '@prequal/service';
import { quiet, test } from '@prequal/testing';
import { expect, vi } from 'vitest';
import { type Database, sql } from './database.ts';
import { startReconciler } from './reconciler.ts';
import type { OutboxMessage } from './relay.ts';

async function application(database: Database, { status = 'PENDING', ageMs = 60_000 } = {}): Promise<string> {
  const id = randomUUID();
  await sql`
    with stored as (
      insert into applications (id, pan_ciphertext, pan_index, pan_masked, monthly_income_inr, loan_amount_inr, loan_type,
        status, version, correlation_id, synthetic, created_at)
      values (${id}, '\\x0102', '\\x00', 'ABCDE***4F', 75000, 500000, 'HOME', ${status}, 1, 'a-test', false,
        now() - ${ageMs} * interval '1 millisecond')
      returning id)
    insert into application_events (id, application_id, version, status, actor, reasons, payload, hash)
    select gen_random_uuid(), id, 1, 'PENDING', 'gateway', '[]', '{}', sha256('') from stored`.execute(database.sql());
  return id;
}

const messageOf = (id: string): OutboxMessage => ({
  id: randomUUID(),
  subject: `loan.applications.submitted.${id}`,
  message: '{}',
});

async function queue(database: Database, id: string): Promise<void> {
  const { id: messageId, subject, message } = messageOf(id);
  await sql`insert into outbox (id, application_id, subject, message) values (${messageId}, ${id}, ${subject}, ${message})`.execute(
    database.sql(),
  );
}

function reconciling(database: Database, afterMs: number) {
  const given: string[] = [];
  const sent: OutboxMessage[] = [];
  const metrics = createMetrics('test');
  const reconciler = startReconciler({
    database,
    relay: { send: (messages) => void sent.push(...messages) },
    toMessage: ({ id, panCiphertext, monthlyIncomeInr, loanType, correlationId }) => {
      expect([panCiphertext, monthlyIncomeInr, loanType, correlationId]).toEqual([
        Buffer.from([1, 2]),
        '75000.00',
        'HOME',
        'a-test',
      ]);
      given.push(id);
      return messageOf(id);
    },
    afterMs,
    log: quiet,
    metrics,
  });
  return { reconciler, given, sent, metrics };
}

const outbox = async (database: Database) =>
  (await sql<{ application_id: string }>`select application_id from outbox`.execute(database.sql())).rows.map(
    (row) => row.application_id,
  );

test('a stranded application is given back; one that is young, queued or decided is not', async ({ database }) => {
  const [stranded, queued] = [await application(database), await application(database)];
  await application(database, { ageMs: 0 });
  for (const status of ['PRE_APPROVED', 'REJECTED', 'MANUAL_REVIEW']) await application(database, { status });
  await queue(database, queued);
  const { reconciler, given, sent, metrics } = reconciling(database, 30_000);
  await using _ = reconciler;
  await vi.waitFor(() => expect(sent).toHaveLength(1), 10_000);
  expect(given).toEqual([stranded]);
  expect((await outbox(database)).toSorted()).toEqual([stranded, queued].toSorted());
  expect(await metrics.metrics()).toMatch(/^prequal_reconciled_total\{service="test"\} 1$/m);
  await sql`delete from outbox`.execute(database.sql());
});

test('the next time comes later, each time twice as late', async ({ database }) => {
  await sql`update applications set status = 'REJECTED', version = 2 where status = 'PENDING'`.execute(database.sql());
  const id = await application(database);
  const { reconciler, sent } = reconciling(database, 100);
  await using _ = reconciler;
  for (const times of [1, 2, 3]) {
    await vi.waitFor(() => expect(sent).toHaveLength(times), 10_000);
    await sql`delete from outbox`.execute(database.sql());
  }
  const { rows } = await sql<{ times: number; wait: number }>`
    select times, extract(epoch from next_at - now())::float8 as wait from reconciliations where application_id = ${id}`.execute(
    database.sql(),
  );
  expect(rows[0]?.times).toBe(3);
  expect(rows[0]?.wait).toBeGreaterThan(0.1);
});

test('of many processes one gives an application back', async ({ database }) => {
  // What the tests before left, which may have gone on for a moment after they were done.
  await sql`delete from outbox`.execute(database.sql());
  await sql`update applications set status = 'REJECTED', version = 2 where status = 'PENDING'`.execute(database.sql());
  const ids = await Promise.all(Array.from({ length: 20 }, () => application(database)));
  const processes = Array.from({ length: 4 }, () => reconciling(database, 1_000));
  await using stack = new AsyncDisposableStack();
  for (const { reconciler } of processes) stack.use(reconciler);
  await vi.waitFor(async () => expect(await outbox(database)).toHaveLength(20), 10_000);
  expect(processes.flatMap(({ given }) => given).toSorted()).toEqual(ids.toSorted());
});
