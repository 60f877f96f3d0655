import { hashOfDecision, hashOfEvent } from '@prequal/schema';
import { quiet, runSql, test } from '@prequal/testing';
import { expect } from 'vitest';
import { sql } from './database.ts';
import { migrate, migrateDown, schemaIsCurrent, whenSchemaIsCurrent } from './migrate.ts';
import { readEvidence } from './read-evidence.ts';

/** This migration and all after it. */
async function takeBack(databaseUrl: string, migration: string): Promise<void> {
  let taken: string[];
  do taken = await migrateDown({ databaseUrl });
  while (!taken.includes(migration));
}

test('every migration can be taken back and applied again, and readiness follows', async ({ database }) => {
  const databaseUrl = database.url;
  const tables = () =>
    runSql<{ name: string }>(
      databaseUrl,
      "select tablename as name from pg_tables where schemaname = 'public' order by 1",
    );
  const before = await tables();
  expect(await schemaIsCurrent(database)).toBe(true);
  let taken: string[];
  do taken = await migrateDown({ databaseUrl });
  while (taken.length > 0);
  expect(await schemaIsCurrent(database)).toBe(false);
  expect((await tables()).map(({ name }) => name)).toEqual(['schema_migrations']);
  const ready = whenSchemaIsCurrent(database, quiet);
  expect(await migrate({ databaseUrl })).not.toEqual([]);
  await ready;
  expect(await tables()).toEqual(before);
  expect(await migrate({ databaseUrl })).toEqual([]);
});

test('many migrations at once apply each step once', async ({ database }) => {
  const databaseUrl = database.url;
  await migrateDown({ databaseUrl });
  const applied = await Promise.all(Array.from({ length: 5 }, () => migrate({ databaseUrl })));
  expect(applied.filter((names) => names.length > 0)).toHaveLength(1);
});

test('histories from before the chain are chained, each for itself and with its decisions', async ({ database }) => {
  const databaseUrl = database.url;
  await takeBack(databaseUrl, '20261127110000-event-chain');
  // More events than are chained at a time, so that a history lies across two batches.
  await runSql(
    databaseUrl,
    `with stored as (
       insert into applications (id, pan_ciphertext, pan_index, pan_masked, monthly_income_inr, loan_amount_inr, loan_type,
         status, version, correlation_id, synthetic)
       select gen_random_uuid(), '\\x00', '\\x00', 'ABCDE***4F', 1, 1, 'HOME', 'REJECTED', 3, 'a-test', false
       from generate_series(1, 1800) returning id
     ), decided as (
       insert into decisions (application_id, version, outcome, decided_by, inputs, reasons)
       select id, version, 'REJECTED', 'POLICY', '{"loanType": "HOME"}', '[{"message": "b", "code": "A"}]'
       from stored cross join (values (3)) as v (version)
     )
     insert into application_events (id, application_id, version, status, actor, reasons, payload)
     select gen_random_uuid(), id, version, 'REJECTED', 'test', '[{"message": "“b”", "code": "A"}]', '{"cibilScore": 700}'
     from stored cross join generate_series(1, 3) as version`,
  );
  await migrate({ databaseUrl });
  const ids = await runSql<{ id: string }>(databaseUrl, 'select id from applications order by id');
  expect(ids).toHaveLength(1_800);
  // Around the end of the first batch, and at both ends.
  for (const { id } of [...ids.slice(0, 3), ...ids.slice(1_660, 1_670), ...ids.slice(-3)]) {
    const evidence = await readEvidence(database, id);
    const hashes = evidence?.events.map((event) => hashOfEvent(event));
    expect(evidence?.events.map(({ hash }) => hash)).toEqual(hashes);
    expect(evidence?.events.map(({ previousHash }) => previousHash)).toEqual([null, hashes?.[0], hashes?.[1]]);
    expect(evidence?.application.eventHash).toBe(hashes?.[2]);
    const [decision] = evidence?.decisions ?? [];
    expect(evidence?.events.map(({ decisionHash }) => decisionHash)).toEqual([
      null,
      null,
      hashOfDecision(decision as never),
    ]);
  }
});

test('what stands beside a decision goes with the migration in both directions', async ({ database }) => {
  const databaseUrl = database.url;
  const verdicts = () =>
    runSql(
      databaseUrl,
      `select version, policy_version, policy_hash, outcome, reasons, error, recorded_at from shadow_verdicts
       where policy_hash = 'a-test' order by version`,
    );
  await runSql(
    databaseUrl,
    `with stored as (
       insert into applications (id, pan_ciphertext, pan_index, pan_masked, monthly_income_inr, loan_amount_inr, loan_type,
         status, version, correlation_id, synthetic)
       values (gen_random_uuid(), '\\x00', '\\x00', 'ABCDE***4F', 1, 1, 'HOME', 'REJECTED', 4, 'a-test', false) returning id
     )
     insert into decisions (application_id, version, outcome, decided_by, inputs, reasons, decided_at)
     select id, version, 'REJECTED', 'SYSTEM', '{}', '[{"message": "b", "code": "A"}]', '2026-01-02T03:04:05.678Z'
     from stored cross join generate_series(2, 4) as version`,
  );
  // Beside the first of them stands nothing.
  await runSql(
    databaseUrl,
    `insert into shadow_verdicts (application_id, version, policy_version, policy_hash, outcome, reasons, error, recorded_at)
     select application_id, version, 'p-1', 'a-test', case version when 3 then 'REJECTED' end,
       case version when 3 then '[{"code": "A", "message": null}]'::jsonb end, case version when 4 then 'No row.' end, decided_at
     from decisions where decided_at = '2026-01-02T03:04:05.678Z' and version > 2`,
  );
  const before = await verdicts();
  expect(before).toHaveLength(2);
  await takeBack(databaseUrl, '20261129090000-shadow-verdicts');
  const { length } = await runSql(databaseUrl, 'select from decisions where shadow is not null');
  expect(length).toBe(2);
  await expect(runSql(databaseUrl, 'update decisions set shadow = null')).rejects.toThrow('append-only');
  await migrate({ databaseUrl });
  expect(await verdicts()).toEqual(before);
});

test('the planner has no samples of what an erasure takes back, nor of texts and hashes, nor those from before', async ({
  database,
}) => {
  const databaseUrl = database.url;
  await takeBack(databaseUrl, '20261129140000-unsampled');
  await runSql(
    databaseUrl,
    `with known as (select '\\xfeedface'::bytea as bytes, decode(repeat('feedface', 8), 'hex') as hash, '["feedface"]'::jsonb as list)
     , stored as (
       insert into applications (id, pan_ciphertext, pan_index, pan_masked, applicant_name, monthly_income_inr,
         loan_amount_inr, loan_type, status, version, correlation_id, synthetic, consent, event_hash)
       select gen_random_uuid(), bytes, bytes, 'feedface', 'feedface', 1, 1, 'HOME', 'PENDING', 1, 'a-test', false, list, hash
       from known cross join generate_series(1, 200) returning id
     ), keys as (
       insert into idempotency_keys (caller, key_digest, application_id, fingerprint)
       select '', uuid_send(id), id, bytes from stored cross join known
     ), counts as (
       insert into rate_limits (key) select 'feedface ' || id from stored
     ), waiting as (
       insert into outbox (id, application_id, subject, message) select id, id, 'a-test', 'feedface' from stored
     ), decided as (
       insert into decisions (application_id, version, outcome, decided_by, inputs, bureau_report, reasons)
       select id, version, 'REJECTED', 'SYSTEM', list, list, list from stored cross join known cross join generate_series(1, 2) version
     ), told as (
       insert into application_events (id, application_id, version, status, actor, reasons, payload, decision_hash, previous_hash, hash)
       select id, id, 2, 'REJECTED', 'a-test', list, list, hash, hash, hash from stored cross join known
     ), beside as (
       insert into shadow_verdicts (application_id, version, policy_version, policy_hash, outcome, reasons, error)
       select id, version, 'a-test', 'a-test', case version when 1 then 'REJECTED' end, case version when 1 then list end,
         case version when 2 then 'feedface' end
       from stored cross join known cross join generate_series(1, 2) version
     )
     insert into dead_letters (id, consumer, subject, error_class, error, deliveries, payload)
     select id, 'a-test', 'a-test', 'a-test', 'feedface', 1, bytes from stored cross join known`,
  );
  const sampled = async (value: string) => {
    const columns = await runSql<{ name: string }>(
      databaseUrl,
      `select tablename || '.' || attname as name from pg_stats s
       where schemaname = 'public' and s::text like '%${value}%' order by 1`,
    );
    return columns.map(({ name }) => name);
  };
  await runSql(databaseUrl, 'analyze');
  expect(await sampled('feedface')).toEqual([
    'application_events.decision_hash',
    'application_events.hash',
    'application_events.payload',
    'application_events.previous_hash',
    'application_events.reasons',
    'applications.applicant_name',
    'applications.consent',
    'applications.event_hash',
    'applications.pan_ciphertext',
    'applications.pan_index',
    'applications.pan_masked',
    'dead_letters.error',
    'dead_letters.payload',
    'decisions.bureau_report',
    'decisions.inputs',
    'decisions.reasons',
    'idempotency_keys.fingerprint',
    'outbox.message',
    'rate_limits.key',
    'shadow_verdicts.error',
    'shadow_verdicts.reasons',
  ]);
  await migrate({ databaseUrl });
  expect(await sampled('feedface')).toEqual([]);
  await runSql(databaseUrl, 'analyze');
  expect(await sampled('feedface')).toEqual([]);
  // And of what is planned by there are.
  expect(await sampled('PENDING')).toEqual(['applications.status']);
});

test('a database without any schema is not current', async ({ database }) => {
  await sql`drop table schema_migrations`.execute(database.sql());
  expect(await schemaIsCurrent(database)).toBe(false);
});
