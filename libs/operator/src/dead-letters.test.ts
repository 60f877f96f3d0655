import { randomUUID } from 'node:crypto';
import { type Database, sql } from '@prequal/persistence';
import { test } from '@prequal/testing';
import { expect } from 'vitest';
import { deadLetters } from './dead-letters.ts';
import { UsageError } from './usage-error.ts';

async function given(
  database: Database,
  errorClass: string,
  payload = '{"specversion":"1.0","id":"old"}',
): Promise<string> {
  const id = randomUUID();
  await sql`
    insert into dead_letters (id, consumer, subject, error_class, error, deliveries, payload)
    values (${id}, 'scoring', 'loan.applications.submitted.x', ${errorClass}, 'cannot', 6, ${Buffer.from(payload)})`.execute(
    database.sql(),
  );
  return id;
}

async function run(database: Database, ...args: string[]) {
  const lines: string[] = [];
  const worked = await deadLetters(database, args, (line) => void lines.push(line));
  return { worked, text: lines.join('\n') };
}

const queued = async (database: Database) => (await sql`select 1 from outbox`.execute(database.sql())).rows.length;

test('an operator lists, looks at and replays one', async ({ database }) => {
  const id = await given(database, 'ONE');
  expect((await run(database, 'list', '--class', 'ONE')).text).toMatch(new RegExp(`^ID .*\n${id} .* OPEN .* ONE `));
  expect((await run(database, 'show', id)).text).toMatch(/state: OPEN[\s\S]*message: \{"specversion"/);
  const before = await queued(database);
  expect(await run(database, 'replay', id, '--dry-run')).toMatchObject({ worked: true });
  expect(await queued(database)).toBe(before);
  expect((await run(database, 'replay', id, '--by', 'asha')).text).toContain(
    'goes back to loan.applications.submitted.x',
  );
  expect(await queued(database)).toBe(before + 1);
  expect((await run(database, 'show', id)).text).toMatch(/state: REPLAYED[\s\S]*resolvedBy: operator:asha/);
});

test('all of a class are replayed, and one that cannot be keeps no other back', async ({ database }) => {
  await given(database, 'MANY');
  const bad = await given(database, 'MANY', 'a\u0000b');
  await given(database, 'MANY');
  await given(database, 'OTHER');
  const before = await queued(database);
  const { worked, text } = await run(database, 'replay', '--class', 'MANY');
  expect(worked).toBe(false);
  expect(text).toContain(`${bad} refused, NOT_REPLAYABLE`);
  expect(await queued(database)).toBe(before + 2);
  expect((await run(database, 'list', '--class', 'OTHER')).text).toContain('OPEN');
});

test('a dry run refuses what a replay would refuse', async ({ database }) => {
  const [bad, gone] = [await given(database, 'DRY', 'a\u0000b'), await given(database, 'DRY')];
  await run(database, 'discard', gone, '--reason', 'a test');
  const { worked, text } = await run(database, 'replay', bad, gone, '--dry-run');
  expect(worked).toBe(false);
  expect(text).toContain(`${bad} refused, NOT_REPLAYABLE`);
  expect(text).toContain(`${gone} refused, ALREADY_RESOLVED`);
});

test('a replay that stops at its limit says that there are more', async ({ database }) => {
  for (let made = 0; made < 3; made += 1) await given(database, 'MORE');
  expect((await run(database, 'list', '--class', 'MORE', '--limit', '2')).text).toContain('newest 2; a larger');
  expect((await run(database, 'replay', '--class', 'MORE', '--limit', '2')).text).toContain('newest 2. Run it again');
  expect((await run(database, 'replay', '--class', 'MORE', '--limit', '2')).text).not.toContain('newest');
});

test('discarding needs a reason and keeps it', async ({ database }) => {
  const id = await given(database, 'GONE');
  await expect(run(database, 'discard', id)).rejects.toThrow(UsageError);
  expect(await run(database, 'discard', id, '--reason', 'sent by mistake')).toMatchObject({ worked: true });
  expect((await run(database, 'list', '--state', 'DISCARDED', '--class', 'GONE')).text).toContain(id);
  expect((await run(database, 'show', id)).text).toContain('resolution: sent by mistake');
});

test('a PAN in a stray message is not shown', async ({ database }) => {
  const id = await given(database, 'STRAY', '{"pan":"ABCDE1234F"}');
  const { text } = await run(database, 'show', id);
  expect(text).toContain('not shown');
  expect(text).not.toContain('ABCDE1234F');
});

test.for([
  ['walk'],
  ['list', '--state', 'BROKEN'],
  ['list', '--limit', '0'],
  ['list', '--colour'],
  ['show'],
  ['show', 'x; drop table'],
  ['replay'],
  ['replay', randomUUID(), '--class', 'BOTH'],
])('what was not understood is answered with the usage: %j', async (args, { database }) => {
  await expect(run(database, ...args)).rejects.toThrow(UsageError);
});

test('an id that is not there is refused, and the exit code says so', async ({ database }) => {
  expect(await run(database, 'show', randomUUID())).toMatchObject({
    worked: false,
    text: expect.stringContaining('NOT_FOUND'),
  });
});
