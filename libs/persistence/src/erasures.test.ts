import { randomUUID } from 'node:crypto';
import { type TestDatabase, test } from '@prequal/testing';
import { expect, vi } from 'vitest';
import { sql } from './database.ts';

/** Decided, with a dead letter, and with the event that an erasure writes first. */
async function application(database: TestDatabase): Promise<string> {
  const id = randomUUID();
  await sql`
    with stored as (
      insert into applications (id, pan_ciphertext, pan_index, pan_masked, monthly_income_inr, loan_amount_inr, loan_type,
        status, version, correlation_id, synthetic)
      values (${id}, '\\x01', '\\x02', 'ABCDE***4F', 1, 1, 'HOME', 'REJECTED', 2, 'a-test', false) returning id
    ), given_up as (
      insert into dead_letters (id, consumer, subject, application_id, error_class, error, deliveries, payload)
      select gen_random_uuid(), 'scoring', 'loan.applications.submitted.x', id, 'HANDLER_FAILED', 'x', 1, '\\x01' from stored)
    insert into application_events (id, application_id, version, kind, status, actor, reasons, payload, hash)
    select gen_random_uuid(), id, 2, 'ERASURE', 'REJECTED', 'auditor:noor', '[]', '{}', sha256('') from stored`.execute(
    database.sql(),
  );
  return id;
}

test('an erasure waits for a replay that is under way, and takes back what it has put into the outbox', async ({
  database,
}) => {
  const id = await application(database);
  const release = Promise.withResolvers<void>();
  const locked = Promise.withResolvers<void>();
  const replaying = database
    .sql()
    .transaction()
    .execute(async (transaction) => {
      await sql`update dead_letters set state = 'REPLAYED', resolved_at = now() where application_id = ${id}`.execute(
        transaction,
      );
      locked.resolve();
      await release.promise;
      await sql`insert into outbox (id, application_id, subject, message)
        values (${randomUUID()}, ${id}, ${`loan.applications.submitted.${id}`}, 'the PAN')`.execute(transaction);
    });
  await locked.promise;
  const erasing = sql`select erase_personal_data(${id}, 'auditor:noor')`.execute(database.sql());
  await vi.waitFor(async () => {
    const { rows } = await sql`select 1 from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock' and query like '%erase_personal_data%'`.execute(
      database.sql(),
    );
    expect(rows).toHaveLength(1);
  }, 10_000);
  release.resolve();
  await Promise.all([replaying, erasing]);
  const { rows } = await sql`
    select payload, (select count(*)::integer from outbox where application_id = ${id}) as waiting
    from dead_letters where application_id = ${id}`.execute(database.sql());
  expect(rows).toEqual([{ payload: Buffer.alloc(0), waiting: 0 }]);
});

test('what is still open when it is erased is closed in the auditor’s name, and cannot be replayed', async ({
  database,
}) => {
  const id = await application(database);
  await sql`select erase_personal_data(${id}, 'auditor:noor')`.execute(database.sql());
  const { rows } = await sql`
    select state, resolved_by, resolution from dead_letters where application_id = ${id}`.execute(database.sql());
  expect(rows).toEqual([
    { state: 'DISCARDED', resolved_by: 'auditor:noor', resolution: 'The personal data of its application was erased.' },
  ]);
});
