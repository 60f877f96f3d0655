import { fork } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import path from 'node:path';
import { createKeyedDigest, createPanDecrypter, createPanEncrypter, type KeyRing, keyIdOf } from '@prequal/pan';
import { openDatabase, sql } from '@prequal/persistence';
import { type TestDatabase, test } from '@prequal/testing';
import { beforeEach, expect, vi } from 'vitest';
import { type Keys, rotateAllKeys } from './rotate-keys.ts';

const [oldKey, newKey, oldIndex, newIndex] = [randomBytes(32), randomBytes(32), randomBytes(32), randomBytes(32)];
const ring = (...entries: [string, Buffer][]): KeyRing => ({
  currentId: entries[0]?.[0] ?? '',
  keys: new Map(entries),
});
const before: Keys = { encryption: ring(['old', oldKey]), index: ring(['old', oldIndex]) };
const meanwhile: Keys = {
  encryption: ring(['new', newKey], ['old', oldKey]),
  index: ring(['new', newIndex], ['old', oldIndex]),
};
const after: Keys = { encryption: ring(['new', newKey]), index: ring(['new', newIndex]) };
const pan = 'ABCDE1234F';

async function store(database: TestDatabase, count: number, keys: Keys): Promise<void> {
  const encrypt = createPanEncrypter(keys.encryption);
  const index = createKeyedDigest(keys.index, 'pan-index')(pan).current;
  const ids = Array.from({ length: count }, () => randomUUID());
  await sql`
    insert into applications (id, pan_ciphertext, pan_index, pan_masked, monthly_income_inr, loan_amount_inr, loan_type,
      status, version, correlation_id, synthetic)
    select id, ciphertext, ${index}, 'ABCDE***4F', 1, 1, 'HOME', 'PENDING', 1, 'a-test', false
    from unnest(${ids}::uuid[], ${ids.map((id) => encrypt(pan, id))}::bytea[]) as t (id, ciphertext)`.execute(
    database.sql(),
  );
}

type Row = { id: string; ciphertext: Buffer; index: Buffer };

const stored = async (database: TestDatabase) =>
  (
    await sql<Row>`
      select id, pan_ciphertext as ciphertext, pan_index as index from applications order by id`.execute(database.sql())
  ).rows;

async function expectAllUnder(database: TestDatabase, keys: Keys, count: number): Promise<void> {
  const rows = await stored(database);
  const decrypt = createPanDecrypter(keys.encryption);
  const { current } = createKeyedDigest(keys.index, 'pan-index')(pan);
  expect(rows).toHaveLength(count);
  for (const row of rows) {
    expect(decrypt(row.ciphertext, row.id)).toBe(pan);
    expect(row.index.equals(current)).toBe(true);
  }
}

/** With the rights of the operator's role and no others. */
async function rotate(database: TestDatabase, keys: Keys, batch = 50) {
  await using theirs = await openDatabase({
    databaseUrl: database.urls.operator,
    poolMax: 2,
    applicationName: 'rotate-test',
  });
  const lines: string[] = [];
  const say = (line: string) => void lines.push(line);
  const worked = await rotateAllKeys({ database: theirs, keys, say, batch, pauseMs: 1 });
  return { worked, text: lines.join('\n') };
}

beforeEach<{ database: TestDatabase }>(async ({ database }) => {
  await sql`truncate applications cascade`.execute(database.sql());
});

test('every PAN comes under the new keys, the old ones are needed no more, and the times stay', async ({
  database,
}) => {
  await store(database, 230, before);
  await sql`alter table applications disable trigger applications_guard`.execute(database.sql());
  await sql`update applications set updated_at = 'epoch'`.execute(database.sql());
  await sql`alter table applications enable trigger applications_guard`.execute(database.sql());
  const { worked, text } = await rotate(database, meanwhile);
  expect(worked).toBe(true);
  expect(text).toContain('230 PANs looked at, 230 encrypted anew, 230 indexed anew');
  expect(text).toMatch(/only new is needed by the database\. Messages .* until \d{4}-.* \(7 days\)/);
  await expectAllUnder(database, after, 230);
  const { rows } = await sql`select 1 from applications where updated_at <> 'epoch'`.execute(database.sql());
  expect(rows).toEqual([]);
});

test('doing it again changes nothing, also with one of the two kinds of keys exchanged alone', async ({ database }) => {
  await store(database, 60, before);
  const { text } = await rotate(database, { ...meanwhile, index: before.index });
  expect(text).toContain('60 encrypted anew, 0 indexed anew');
  await rotate(database, meanwhile);
  const first = await stored(database);
  const again = await rotate(database, meanwhile);
  expect(again.text).toContain('60 PANs looked at, 0 encrypted anew, 0 indexed anew');
  expect(await stored(database)).toEqual(first);
});

test('applications that are submitted and decided meanwhile are neither lost nor held up', async ({ database }) => {
  await store(database, 400, before);
  const stop = new AbortController();
  let submitted = 0;
  let slowestMs = 0;
  const load = async () => {
    while (!stop.signal.aborted) {
      const startedAt = performance.now();
      // A gateway that has the new keys first, and one that was not restarted yet.
      await store(database, 1, submitted % 2 === 0 ? meanwhile : before);
      await sql`
        update applications set status = 'REJECTED', version = 2 where id = (
          select id from applications where status = 'PENDING' order by random() limit 1)`.execute(database.sql());
      slowestMs = Math.max(slowestMs, performance.now() - startedAt);
      submitted += 1;
    }
  };
  const loading = load();
  // The old gateway is replaced while it runs; what it wrote last is found by another run.
  await vi.waitFor(() => expect(submitted).toBeGreaterThan(5), 10_000);
  const running = rotate(database, meanwhile, 20);
  await vi.waitFor(() => expect(submitted).toBeGreaterThan(40), 10_000);
  stop.abort();
  await loading;
  expect((await running).worked).toBe(true);
  await expectAllUnder(database, after, 400 + submitted);
  expect(slowestMs).toBeLessThan(1_000);
  const { rows } = await sql<{ count: number }>`
    select count(*)::integer as count from applications where status = 'REJECTED'`.execute(database.sql());
  expect(rows[0]?.count).toBeGreaterThan(30);
});

test('an erased PAN is left as it is, and not called unreadable', async ({ database }) => {
  await store(database, 2, before);
  const [{ id } = { id: '' }] = await stored(database);
  await sql`
    update applications set pan_ciphertext = '', pan_index = '', pan_masked = '**********', status = 'REJECTED', version = 2
    where id = ${id}`.execute(database.sql());
  const { worked, text } = await rotate(database, meanwhile);
  expect(worked).toBe(true);
  expect(text).toContain('1 PANs looked at');
  expect((await stored(database)).find((row) => row.id === id)?.ciphertext).toEqual(Buffer.alloc(0));
});

test('a row that somebody holds is waited for by nobody and done when it is free', async ({ database }) => {
  await store(database, 30, before);
  const [held] = await stored(database);
  const release = Promise.withResolvers<void>();
  const holding = database
    .sql()
    .transaction()
    .execute(async (transaction) => {
      await sql`select id from applications where id = ${held?.id} for update`.execute(transaction);
      await release.promise;
    });
  const running = rotate(database, meanwhile);
  const left = async () => (await stored(database)).filter(({ ciphertext }) => keyIdOf(ciphertext) === 'old');
  await vi.waitFor(async () => expect(await left()).toHaveLength(1), 10_000).finally(release.resolve);
  await holding;
  expect((await running).worked).toBe(true);
  await expectAllUnder(database, after, 30);
});

test('a killed run leaves every PAN readable, and the next one does the rest', async ({ database }) => {
  await store(database, 3_000, before);
  const text = (keys: KeyRing) => [...keys.keys].map(([id, key]) => `${id}:${key.toString('base64')}`).join(',');
  const child = fork(path.join(import.meta.dirname, 'rotate-keys/main.ts'), [], {
    env: {
      ...process.env,
      OPERATOR_DATABASE_URL: database.urls.operator,
      PAN_ENCRYPTION_KEYS: text(meanwhile.encryption),
      PAN_INDEX_KEYS: text(meanwhile.index),
    },
    execArgv: [],
    silent: true,
  });
  const exited = once(child, 'exit');
  const renewed = async () => (await stored(database)).filter(({ ciphertext }) => keyIdOf(ciphertext) === 'new').length;
  await vi.waitFor(async () => expect(await renewed()).toBeGreaterThan(0), { timeout: 10_000, interval: 5 });
  child.kill('SIGKILL');
  await exited;
  const half = await renewed();
  expect(half).toBeLessThan(3_000);
  const decrypt = createPanDecrypter(meanwhile.encryption);
  for (const { id, ciphertext } of await stored(database)) expect(decrypt(ciphertext, id)).toBe(pan);
  expect((await rotate(database, meanwhile)).text).toContain(`${3_000 - half} encrypted anew`);
  await expectAllUnder(database, after, 3_000);
});

test('a PAN that no key reads is named by its application, keeps no other back, and forbids removing keys', async ({
  database,
}) => {
  await store(database, 20, before);
  const lost = { encryption: ring(['lost', randomBytes(32)]), index: before.index };
  await store(database, 1, lost);
  const { worked, text } = await rotate(database, meanwhile);
  expect(worked).toBe(false);
  expect(text).toMatch(/1 PANs cannot be read .* Remove no key[\s\S]*[0-9a-f-]{36}/);
  expect(text).not.toContain(pan);
  expect((await stored(database)).filter(({ ciphertext }) => keyIdOf(ciphertext) === 'new')).toHaveLength(20);
});
