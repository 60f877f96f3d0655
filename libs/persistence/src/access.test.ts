import { randomUUID } from 'node:crypto';
import { runSql, type TestDatabase, test } from '@prequal/testing';
import { describe, expect } from 'vitest';
import { type Database, openDatabase, sql } from './database.ts';
import { type DatabaseUser, databaseRoles, ensureDatabaseUsers } from './database-users.ts';
import { migrate, migrateDown } from './migrate.ts';

const users = Object.keys(databaseRoles) as DatabaseUser[];

/** As the user sees the database; answers its error code, `undefined` when it was allowed. */
async function attempt(database: TestDatabase, user: DatabaseUser, statement: string): Promise<string | undefined> {
  await using theirs = await openDatabase({ databaseUrl: database.urls[user], poolMax: 1, applicationName: user });
  try {
    await sql.raw(statement).execute(theirs.sql());
    return undefined;
  } catch (error) {
    return (error as { code?: string }).code ?? 'no code';
  }
}

async function application(database: Database): Promise<string> {
  const id = randomUUID();
  await sql`
    insert into applications (id, pan_ciphertext, pan_index, pan_masked, monthly_income_inr, loan_amount_inr, loan_type,
      status, version, correlation_id, synthetic)
    values (${id}, '\\x00', '\\x00', 'ABCDE***4F', 1, 1, 'HOME', 'PENDING', 1, 'a-test', false)`.execute(
    database.sql(),
  );
  return id;
}

const denied = '42501';

const refused: Record<DatabaseUser, string[]> = {
  gateway: [
    "update applications set applicant_name = 'x'",
    'update applications set loan_amount_inr = 1',
    "update applications set pan_ciphertext = '\\x00'",
    'delete from applications',
    "update application_events set actor = 'x'",
    'delete from application_events',
    'insert into erasures (application_id) values (gen_random_uuid())',
    'update erasures set purge_at = null',
    'delete from erasures',
    `insert into decisions (application_id, version, outcome, decided_by, inputs, reasons)
      values (gen_random_uuid(), 2, 'PRE_APPROVED', 'POLICY', '{}', '[1]')`,
    `insert into shadow_verdicts (application_id, version, policy_version, policy_hash, error)
      values (gen_random_uuid(), 2, 'x', 'y', 'z')`,
    'delete from dead_letters',
    "update dead_letters set payload = ''",
    'delete from review_claims',
    "update outbox set message = '{}'",
    "update idempotency_keys set fingerprint = '\\x00'",
    'delete from idempotency_keys',
    `insert into outbox (id, application_id, subject, message)
      values (gen_random_uuid(), gen_random_uuid(), 'anything.else', '{}')`,
  ],
  decisioning: [
    'select claimed_by from review_claims',
    'select pan_ciphertext from applications',
    'select pan_index from applications',
    'select pan_masked from applications',
    'select applicant_name from applications',
    'select owner from applications',
    `insert into applications (id) values (gen_random_uuid())`,
    'update applications set loan_amount_inr = 1',
    "update applications set owner = 'x'",
    'delete from applications',
    'select inputs from decisions',
    'update decisions set version = 9',
    'select outcome from shadow_verdicts',
    'delete from shadow_verdicts',
    'select reasons from application_events',
    'select payload from dead_letters',
    "update dead_letters set state = 'DISCARDED', resolved_at = now()",
    'select caller from idempotency_keys',
    'select key from rate_limits',
    'select times from reconciliations',
    "update application_events set hash = sha256('')",
    'delete from application_events',
    "select erase_personal_data(gen_random_uuid(), 'x')",
    'insert into erasures (application_id) values (gen_random_uuid())',
    'delete from erasures',
    `insert into outbox (id, application_id, subject, message)
      values (gen_random_uuid(), gen_random_uuid(), 'loan.applications.submitted.x', '{}')`,
  ],
  operator: [
    'select applicant_name from applications',
    'select loan_amount_inr from applications',
    "update applications set status = 'PRE_APPROVED', version = version + 1",
    'delete from applications',
    'delete from dead_letters',
    'select message from outbox',
    'select inputs from decisions',
    'select application_id from application_events',
    "select erase_personal_data(gen_random_uuid(), 'x')",
    'delete from erasures',
    'delete from rate_limits',
    `insert into outbox (id, application_id, subject, message)
      values (gen_random_uuid(), gen_random_uuid(), 'loan.applications.status.x', '{}')`,
  ],
  reader: [
    'select pan_ciphertext from applications',
    'select pan_index from applications',
    'select pan_masked from applications',
    'select applicant_name from applications',
    'select owner from applications',
    'select message from outbox',
    'select payload from dead_letters',
    'select caller from idempotency_keys',
    'select key from rate_limits',
    "update applications set owner = 'x'",
    "insert into schema_migrations (name) values ('x')",
    "update application_events set hash = sha256('')",
    "select erase_personal_data(gen_random_uuid(), 'x')",
    'delete from dead_letters',
  ],
};

const everybody = [
  'create table mine (id integer)',
  'drop table applications',
  'alter table applications disable trigger all',
  'truncate outbox',
  'create role mine',
  'delete from schema_migrations',
  `set role postgres`,
];

describe.each(users)('the role of %s', (user) => {
  test.for([...refused[user], ...everybody])('is refused: %s', async (statement, { database }) => {
    expect(await attempt(database, user, statement)).toBe(denied);
  });

  test('may see whether the schema is current', async ({ database }) => {
    expect(await attempt(database, user, 'select name from schema_migrations')).toBeUndefined();
  });
});

test('who may read what of an application is written down here once more', async ({ database }) => {
  const readable = (user: DatabaseUser) =>
    sql<{ column: string }>`
      select attname as column from pg_attribute
      where attrelid = 'applications'::regclass and attnum > 0
        and has_column_privilege(${user}, attrelid, attnum, 'select')
        and attname in ('pan_ciphertext', 'pan_index', 'pan_masked', 'applicant_name', 'owner')
      order by 1`
      .execute(database.sql())
      .then(({ rows }) => rows.map(({ column }) => column));
  expect(await readable('gateway')).toEqual(['applicant_name', 'owner', 'pan_ciphertext', 'pan_index', 'pan_masked']);
  expect(await readable('decisioning')).toEqual([]);
  expect(await readable('operator')).toEqual(['pan_ciphertext', 'pan_index']);
  expect(await readable('reader')).toEqual([]);
});

test('the gateway changes a status only where an underwriter holds a claim', async ({ database }) => {
  const [pending, unclaimed, claimed] = [
    await application(database),
    await application(database),
    await application(database),
  ];
  for (const id of [unclaimed, claimed]) {
    await sql`update applications set status = 'MANUAL_REVIEW', version = 2 where id = ${id}`.execute(database.sql());
  }
  await sql`insert into review_claims (application_id, claimed_by, expires_at)
    values (${claimed}, 'asha', now() + interval '1 minute'), (${pending}, 'asha', now() + interval '1 minute')`.execute(
    database.sql(),
  );
  const approve = (id: string) =>
    attempt(
      database,
      'gateway',
      `update applications set status = 'PRE_APPROVED', version = version + 1 where id = '${id}'`,
    );
  expect(await approve(pending)).toBe(denied);
  expect(await approve(unclaimed)).toBe(denied);
  // Tables of its own under the names that the guard asks.
  for (const standIn of [
    'create temp table pg_roles as select current_user::name as rolname, true as rolsuper',
    `create temp table review_claims as select '${unclaimed}'::uuid as application_id, now() + interval '1 day' as expires_at`,
  ]) {
    const approved = `update applications set status = 'PRE_APPROVED', version = version + 1 where id = '${unclaimed}'`;
    expect(await attempt(database, 'gateway', `${standIn}; ${approved}`), standIn).toBe(denied);
    const decided = `insert into decisions (application_id, version, outcome, decided_by, inputs, reasons)
      values ('${unclaimed}', 3, 'PRE_APPROVED', 'POLICY', '{}', '[1]')`;
    expect(await attempt(database, 'gateway', `${standIn}; ${decided}`), standIn).toBe(denied);
  }
  expect(await approve(claimed)).toBeUndefined();
});

test('the guards stand wherever those who write look for names first', async ({ database }) => {
  const id = await application(database);
  const schema = (await sql<{ name: string }>`select current_schema() as name`.execute(database.sql())).rows[0]?.name;
  await runSql(
    database.url,
    `set search_path = '';
     update ${schema}.applications set status = 'REJECTED', version = 2 where id = '${id}';
     insert into ${schema}.decisions (application_id, version, outcome, decided_by, inputs, reasons)
       values ('${id}', 2, 'REJECTED', 'POLICY', '{}', '[1]')`,
  );
  const again = `set search_path = ''; update ${schema}.applications set status = 'PRE_APPROVED', version = 3 where id = '${id}'`;
  await expect(runSql(database.url, again)).rejects.toThrow('final status');
});

test('a service neither sees nor takes what another one publishes', async ({ database }) => {
  for (const kind of ['applications.submitted', 'applications.status', 'credit-reports.generated']) {
    await sql`insert into outbox (id, application_id, subject, message)
      values (${randomUUID()}, ${randomUUID()}, ${`loan.${kind}.x`}, '{}')`.execute(database.sql());
  }
  const seen = async (user: DatabaseUser) => {
    await using theirs = await openDatabase({ databaseUrl: database.urls[user], poolMax: 1, applicationName: user });
    const { rows } = await sql<{ subject: string }>`
      delete from outbox returning subject`.execute(theirs.sql());
    return rows.map(({ subject }) => subject).toSorted();
  };
  // A status is the word of either, so each may send on what the other one left.
  expect(await seen('gateway')).toEqual(['loan.applications.status.x', 'loan.applications.submitted.x']);
  expect(await seen('decisioning')).toEqual(['loan.credit-reports.generated.x']);
});

test('the triggers stand behind the grants: what may be updated is still guarded', async ({ database }) => {
  const id = await application(database);
  expect(
    await attempt(
      database,
      'decisioning',
      `update applications set status = 'REJECTED', version = 5 where id = '${id}'`,
    ),
  ).toBe('23514');
  expect(await attempt(database, 'gateway', `update applications set updated_at = 'epoch' where id = '${id}'`)).toBe(
    undefined,
  );
  const { rows } =
    await sql`select 1 from applications where id = ${id} and updated_at > now() - interval '1 minute'`.execute(
      database.sql(),
    );
  expect(rows).toHaveLength(1);
});

test('personal data is erased by the gateway alone, after its history says so, and for good', async ({ database }) => {
  const id = await application(database);
  const erase = () => attempt(database, 'gateway', `select erase_personal_data('${id}', 'auditor:noor')`);
  const violation = '23514';
  expect(await erase()).toBe(violation);
  await sql`insert into application_events (id, application_id, version, kind, status, actor, reasons, payload, hash)
    values (${randomUUID()}, ${id}, 1, 'ERASURE', 'PENDING', 'auditor:noor', '[]', '{}', sha256(''))`.execute(
    database.sql(),
  );
  // Not what nobody has decided yet: without its PAN it never would be.
  expect(await erase()).toBe(violation);
  await sql`update applications set status = 'REJECTED', version = 2 where id = ${id}`.execute(database.sql());
  expect(await erase()).toBeUndefined();
  const again = sql`update applications set pan_ciphertext = '\\x00' where id = ${id}`.execute(database.sql());
  await expect(again).rejects.toThrow(/erased for good/);
});

test('the roles lose everything when the migration is taken back, and get it again', async ({ database }) => {
  const taken: string[] = [];
  do taken.push(...(await migrateDown({ databaseUrl: database.url })));
  while (!taken.includes('20261125120000-access'));
  for (const user of users) expect(await attempt(database, user, 'select id from applications')).toBe(denied);
  await migrate({ databaseUrl: database.url });
  for (const user of users) expect(await attempt(database, user, 'select id from applications')).toBe(undefined);
});

test('whoever may not make roles can migrate all the same', async ({ database }) => {
  const name = `limited_${randomUUID().slice(0, 8)}`;
  await sql.raw(`create role ${name} login password 'x'`).execute(database.sql());
  try {
    await sql.raw(`create schema ${name} authorization ${name}`).execute(database.sql());
    const url = Object.assign(new URL(database.url), { username: name, password: 'x' });
    url.searchParams.set('options', `-c search_path=${name}`);
    expect(await migrate({ databaseUrl: url.href })).toContain('20261125120000-access');
  } finally {
    await sql.raw(`drop owned by ${name} cascade`).execute(database.sql());
    await sql.raw(`drop role ${name}`).execute(database.sql());
  }
});

describe('users', () => {
  test('get the new password and keep their role when they are made again', async ({ database }) => {
    const name = `again_${randomUUID().slice(0, 8)}`;
    const urlOf = (password: string) => Object.assign(new URL(database.url), { username: name, password }).href;
    try {
      for (const password of ['first ✓ pass/word', 'second']) {
        await ensureDatabaseUsers(database.url, { reader: urlOf(password) });
        await using theirs = await openDatabase({ databaseUrl: urlOf(password), poolMax: 1, applicationName: name });
        await sql`select id from applications`.execute(theirs.sql());
        await expect(sql`select pan_index from applications`.execute(theirs.sql())).rejects.toMatchObject({
          code: denied,
        });
      }
      await using old = await openDatabase({ databaseUrl: urlOf('first'), poolMax: 1, applicationName: name });
      await expect(sql`select 1`.execute(old.sql())).rejects.toMatchObject({ code: '28P01' });
    } finally {
      await sql.raw(`drop role if exists ${name}`).execute(database.sql());
    }
  });

  test('are refused when no role could restrict them, or nobody could log in as them', async ({ database }) => {
    await expect(ensureDatabaseUsers(database.url, { gateway: database.url })).rejects.toThrow('superuser');
    const nameless = Object.assign(new URL(database.url), { username: '', password: '' }).href;
    await expect(ensureDatabaseUsers(database.url, { gateway: nameless })).rejects.toThrow('a user and a password');
  });
});
