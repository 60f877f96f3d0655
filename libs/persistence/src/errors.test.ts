import { test, withDatabase } from '@prequal/testing';
import { expect, inject, vi } from 'vitest';
import { openDatabase, sql } from './database.ts';
import { isDatabaseAway } from './errors.ts';

const failureOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  );

test('a server that is not there is an outage', async () => {
  await using database = await openDatabase({
    databaseUrl: 'postgres://nobody@127.0.0.1:1/nothing',
    poolMax: 1,
    applicationName: 'test',
  });
  expect(isDatabaseAway(await failureOf(sql`select 1`.execute(database.sql())))).toBe(true);
  expect(await database.isConnected()).toBe(false);
});

test('a session that was ended, a statement that took too long and a full pool are outages', async ({ database }) => {
  await using narrow = await openDatabase({
    databaseUrl: database.url,
    poolMax: 1,
    applicationName: 'narrow',
    connectTimeoutMs: 200,
    statementTimeoutMs: 500,
  });
  const slow = failureOf(sql`select pg_sleep(10)`.execute(narrow.sql()));
  expect(isDatabaseAway(await failureOf(sql`select 1`.execute(narrow.sql())))).toBe(true);
  expect(isDatabaseAway(await slow)).toBe(true);
  const ended = failureOf(sql`select pg_terminate_backend(pg_backend_pid())`.execute(narrow.sql()));
  expect(isDatabaseAway(await ended)).toBe(true);
  // The pool notices a moment later, and opens another session.
  await vi.waitFor(() => sql`select 1`.execute(narrow.sql()), 10_000);
});

test('a mistake of ours is not an outage', async ({ database }) => {
  for (const statement of [sql`select * from nothing`, sql`select 1/0`, sql`select 'x'::uuid`]) {
    expect(isDatabaseAway(await failureOf(statement.execute(database.sql())))).toBe(false);
  }
  expect(isDatabaseAway(new Error('anything'))).toBe(false);
  expect(isDatabaseAway('no error')).toBe(false);
});

test('a database that does not exist is a mistake, and not an outage', async () => {
  await using database = await openDatabase({
    databaseUrl: withDatabase(inject('postgresUrl'), 'no_such_database'),
    poolMax: 1,
    applicationName: 'test',
  });
  expect(isDatabaseAway(await failureOf(sql`select 1`.execute(database.sql())))).toBe(false);
});
