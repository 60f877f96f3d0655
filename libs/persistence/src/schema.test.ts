import { randomUUID } from 'node:crypto';
import { test } from '@prequal/testing';
import { expect } from 'vitest';
import { type Database, sql } from './database.ts';

async function insertApplication(database: Database, status = 'PENDING', version = 1): Promise<string> {
  const id = randomUUID();
  await sql`
    insert into applications (id, pan_ciphertext, pan_index, pan_masked, monthly_income_inr, loan_amount_inr, loan_type,
      status, version, correlation_id, synthetic)
    values (${id}, '\\x00', '\\x00', 'ABCDE***4F', 1, 1, 'HOME', ${status}, ${version}, 'a-test', false)`.execute(
    database.sql(),
  );
  return id;
}

const setStatus = (database: Database, id: string, status: string, version: number) =>
  sql`update applications set status = ${status}, version = ${version} where id = ${id}`.execute(database.sql());

test.for(['PRE_APPROVED', 'REJECTED'])('nothing changes the final status %s', async (final, { database }) => {
  const id = await insertApplication(database);
  await setStatus(database, id, final, 2);
  for (const status of ['PENDING', 'PRE_APPROVED', 'REJECTED', 'MANUAL_REVIEW']) {
    await expect(setStatus(database, id, status, 3), status).rejects.toThrow(/final status/);
  }
});

test('an underwriter may resolve MANUAL_REVIEW, and nothing leads back to PENDING', async ({ database }) => {
  const id = await insertApplication(database);
  await setStatus(database, id, 'MANUAL_REVIEW', 2);
  await expect(setStatus(database, id, 'PENDING', 3)).rejects.toThrow(/leaves PENDING for good/);
  await setStatus(database, id, 'REJECTED', 3);
});

test('versions have no gaps', async ({ database }) => {
  const id = await insertApplication(database);
  for (const version of [0, 1, 3]) {
    await expect(setStatus(database, id, 'REJECTED', version), String(version)).rejects.toThrow();
  }
});

test('updated_at follows every update', async ({ database }) => {
  const id = await insertApplication(database);
  await sql`update applications set updated_at = 'epoch', owner = 'x' where id = ${id}`.execute(database.sql());
  const { rows } = await sql<{ fresh: boolean }>`
    select updated_at > now() - interval '1 minute' as fresh from applications where id = ${id}`.execute(
    database.sql(),
  );
  expect(rows).toEqual([{ fresh: true }]);
});

test('history and decisions are append-only, one decision a version and one by the policy', async ({ database }) => {
  const id = await insertApplication(database);
  const decide = (version: number, decidedBy: string) =>
    sql`insert into decisions (application_id, version, outcome, decided_by, inputs, reasons)
      values (${id}, ${version}, 'REJECTED', ${decidedBy}, '{}', '[{"code":"A","message":"b"}]')`.execute(
      database.sql(),
    );
  await decide(2, 'SYSTEM');
  await decide(3, 'POLICY');
  await expect(decide(3, 'UNDERWRITER')).rejects.toThrow(/decisions_pkey/);
  await expect(decide(4, 'POLICY')).rejects.toThrow(/decisions_policy_once/);
  await decide(4, 'UNDERWRITER');
  const beside = (version: number) =>
    sql`insert into shadow_verdicts (application_id, version, policy_version, policy_hash, error)
      values (${id}, ${version}, 'x', 'y', 'z')`.execute(database.sql());
  await beside(3);
  await expect(beside(3)).rejects.toThrow(/shadow_verdicts_pkey/);
  await expect(beside(5)).rejects.toThrow(/foreign key/);
  const both = sql`insert into shadow_verdicts (application_id, version, policy_version, policy_hash, outcome, error)
    values (${id}, 4, 'x', 'y', 'REJECTED', 'z')`;
  await expect(both.execute(database.sql())).rejects.toThrow(/shadow_verdicts_check/);
  await sql`insert into application_events (id, application_id, version, status, actor, reasons, payload, hash)
    values (${randomUUID()}, ${id}, 1, 'PENDING', 'test', '[]', '{}', sha256(''))`.execute(database.sql());
  for (const statement of [
    sql`update decisions set outcome = 'PRE_APPROVED' where application_id = ${id}`,
    sql`delete from decisions where application_id = ${id}`,
    sql`update shadow_verdicts set outcome = 'REJECTED', error = null where application_id = ${id}`,
    sql`delete from shadow_verdicts where application_id = ${id}`,
    sql`update application_events set status = 'REJECTED' where application_id = ${id}`,
    sql`delete from application_events where application_id = ${id}`,
  ]) {
    await expect(statement.execute(database.sql())).rejects.toThrow(/append-only/);
  }
});

test('a decision without a reason is refused', async ({ database }) => {
  const id = await insertApplication(database);
  const statement = sql`insert into decisions (application_id, version, outcome, decided_by, inputs, reasons)
    values (${id}, 2, 'REJECTED', 'POLICY', '{}', '[]')`;
  await expect(statement.execute(database.sql())).rejects.toThrow(/decisions_reasons_check/);
});
