import { randomUUID } from 'node:crypto';
import { type Database, sql } from '@prequal/persistence';
import type { StatusUpdate } from '@prequal/schema';
import { quiet, type TestNats, test } from '@prequal/testing';
import { expect, vi } from 'vitest';
import { createDecisionFeed, type DecisionFeedOptions } from './decision-feed.ts';
import { createDecisionReader } from './read-decisions.ts';

type Queries = Pick<Database, 'sql'>;

/** Decides on a new application, with as many versions as wanted, and tells nobody. */
async function decided({ sql: session }: Queries, { loanType = 'HOME', versions = 2, synthetic = false } = {}) {
  const id = randomUUID();
  await sql`
    with stored as (
      insert into applications (id, pan_ciphertext, pan_index, pan_masked, monthly_income_inr, loan_amount_inr, loan_type,
        status, version, correlation_id, synthetic)
      values (${id}, '\\x01', '\\x00', 'ABCDE***4F', 75000, 500000, ${loanType}, 'MANUAL_REVIEW', ${versions}, 'a-test', ${synthetic})
      returning id)
    insert into application_events (id, application_id, version, status, actor, reasons, payload, hash)
    select gen_random_uuid(), id, v, case v when 1 then 'PENDING' when 2 then 'MANUAL_REVIEW' else 'REJECTED' end,
      'a-test', '[]', '{}', sha256('') from stored, generate_series(1, ${versions}::integer) v`.execute(session());
  return id;
}

function feedOf(database: Database, nats: TestNats, options: Partial<DecisionFeedOptions> = {}) {
  const { broker } = nats;
  // A sweep that does not come in a test.
  return createDecisionFeed({
    broker,
    read: createDecisionReader(database),
    log: quiet,
    sweepIntervalMs: 600_000,
    ...options,
  });
}

/** Says only that there is something to look at. */
function hint({ broker }: TestNats, id: string): void {
  broker.send(`loan.applications.status.${id}`, { payload: '', replyTo: broker.newInbox() });
}

function collect(stream: AsyncIterable<StatusUpdate>) {
  const seen: string[] = [];
  const done = (async () => {
    for await (const { applicationId, version } of stream) seen.push(`${applicationId} ${version}`);
  })();
  return { seen, done };
}

const subscriptions = async (nats: TestNats) =>
  (await nats.connections()).flatMap((known) => known.subscriptions).filter((subject) => subject.endsWith('.status.*'));

test('what was decided before is not told, what is hinted at is told in order, and all of it once', async ({
  database,
  nats,
}) => {
  await nats.broker.jetStream();
  await decided(database);
  await using feed = feedOf(database, nats);
  const gone = new AbortController();
  const { seen, done } = collect(await feed.watch({}, gone.signal));
  const id = await decided(database, { versions: 3 });
  const ofTheSystem = await decided(database, { synthetic: true });
  for (const each of [id, ofTheSystem, id]) hint(nats, each);
  await vi.waitFor(() => expect(seen).toEqual([`${id} 2`, `${id} 3`]), 5_000);
  const later = await decided(database);
  for (const each of [id, later]) hint(nats, each);
  await vi.waitFor(() => expect(seen).toEqual([`${id} 2`, `${id} 3`, `${later} 2`]), 5_000);
  expect(await subscriptions(nats)).toHaveLength(1);
  gone.abort();
  await done;
  expect(feed.watcherCount()).toBe(0);
  await vi.waitFor(async () => expect(await subscriptions(nats)).toEqual([]), 5_000);
});

test('what no message has told is found by the sweep, also when it is committed late', async ({ database, nats }) => {
  await using feed = feedOf(database, nats, { sweepIntervalMs: 50 });
  const { seen } = collect(await feed.watch({}, new AbortController().signal));
  const committed = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<string>();
  const late = database
    .sql()
    .transaction()
    .execute(async (transaction) => {
      begun.resolve(await decided({ sql: () => transaction }));
      await committed.promise;
    });
  const [lateId, id] = [await begun.promise, await decided(database)];
  await vi.waitFor(() => expect(seen).toEqual([`${id} 2`]), 5_000);
  committed.resolve();
  await late;
  await vi.waitFor(() => expect(seen).toEqual([`${id} 2`, `${lateId} 2`]), 5_000);
});

test('what was decided while NATS was away is told when it is back', async ({ database, nats }) => {
  await using feed = feedOf(database, nats);
  const { seen } = collect(await feed.watch({}, new AbortController().signal));
  const outage = await nats.away();
  const id = await decided(database);
  await outage[Symbol.asyncDispose]();
  await vi.waitFor(() => expect(seen).toEqual([`${id} 2`]), 15_000);
});

test('each is told what it asked for', async ({ database, nats }) => {
  await using feed = feedOf(database, nats, { sweepIntervalMs: 50 });
  const { signal } = new AbortController();
  const [homes, rejected] = [
    collect(await feed.watch({ loanTypes: ['HOME'] }, signal)),
    collect(await feed.watch({ statuses: ['REJECTED'] }, signal)),
  ];
  const auto = await decided(database, { loanType: 'AUTO', versions: 3 });
  const home = await decided(database, { versions: 3 });
  await vi.waitFor(() => {
    expect(homes.seen).toEqual([`${home} 2`, `${home} 3`]);
    expect(rejected.seen.toSorted()).toEqual([`${auto} 3`, `${home} 3`].toSorted());
  }, 5_000);
});

test('who does not take what comes is told to begin anew, and nobody else is harmed', async ({ database, nats }) => {
  await using feed = feedOf(database, nats, { sweepIntervalMs: 50, maxKept: 3 });
  const { signal } = new AbortController();
  const slow = await feed.watch({}, signal);
  const { seen } = collect(await feed.watch({}, signal));
  for (let index = 1; index <= 5; index += 1) {
    await decided(database);
    await vi.waitFor(() => expect(seen).toHaveLength(index), 5_000);
  }
  await expect(slow.next()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  expect(feed.watcherCount()).toBe(1);
});
