import { randomUUID } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { toMessage } from '@prequal/messaging';
import { type Database, openDatabase, sql } from '@prequal/persistence';
import { createEvent, type StatusUpdate } from '@prequal/schema';
import { quiet, runSql, type TestNats, test, withDatabase } from '@prequal/testing';
import { expect, vi } from 'vitest';
import { createDecisionFeed, type DecisionFeedOptions } from './decision-feed.ts';
import { createDecisionReader } from './read-decisions.ts';

type Queries = Pick<Database, 'sql'>;

/** Decides on a new application, with as many versions as wanted, and tells nobody. */
async function decided(
  { sql: session }: Queries,
  { loanType = 'HOME', versions = 2, synthetic = false, decidedAgo = '0 s' } = {},
) {
  const id = randomUUID();
  await sql`
    with stored as (
      insert into applications (id, pan_ciphertext, pan_index, pan_masked, monthly_income_inr, loan_amount_inr, loan_type,
        status, version, correlation_id, synthetic)
      values (${id}, '\\x01', '\\x00', 'ABCDE***4F', 75000, 500000, ${loanType}, 'MANUAL_REVIEW', ${versions}, 'a-test', ${synthetic})
      returning id)
    insert into application_events (id, application_id, version, status, actor, reasons, payload, occurred_at, hash)
    select gen_random_uuid(), id, v, case v when 1 then 'PENDING' when 2 then 'MANUAL_REVIEW' else 'REJECTED' end,
      'a-test', '[]', '{}', now() - ${decidedAgo}::interval, sha256('') from stored, generate_series(1, ${versions}::integer) v`.execute(
    session(),
  );
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

/** What a service says of a decision. */
function announce({ broker }: TestNats, applicationId: string, version: number): void {
  const event = createEvent('statusChanged', {
    id: randomUUID(),
    source: 'gateway',
    applicationId,
    time: new Date(),
    trace: { correlationId: 'a-test', traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' },
    data: { status: 'REJECTED', version, cibilScore: null, reasons: [{ code: 'OTHER', message: 'A test.' }] },
  });
  const { subject, message } = toMessage('statusChanged', event);
  broker.send(subject, { payload: message, replyTo: broker.newInbox() });
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
  await vi.waitFor(() => expect(seen).toEqual([`${id} 2`, `${id} 3`]), 10_000);
  const later = await decided(database);
  for (const each of [id, later]) hint(nats, each);
  await vi.waitFor(() => expect(seen).toEqual([`${id} 2`, `${id} 3`, `${later} 2`]), 10_000);
  expect(await subscriptions(nats)).toHaveLength(1);
  gone.abort();
  await done;
  expect(feed.watcherCount()).toBe(0);
  await vi.waitFor(async () => expect(await subscriptions(nats)).toEqual([]), 10_000);
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
  await vi.waitFor(() => expect(seen).toEqual([`${id} 2`]), 10_000);
  committed.resolve();
  await late;
  await vi.waitFor(() => expect(seen).toEqual([`${id} 2`, `${lateId} 2`]), 10_000);
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
  }, 10_000);
});

test('who does not take what comes is told to begin anew, and nobody else is harmed', async ({ database, nats }) => {
  await using feed = feedOf(database, nats, { sweepIntervalMs: 50, maxKept: 3 });
  const { signal } = new AbortController();
  const slow = await feed.watch({}, signal);
  const { seen } = collect(await feed.watch({}, signal));
  for (let index = 1; index <= 5; index += 1) {
    await decided(database);
    await vi.waitFor(() => expect(seen).toHaveLength(index), 10_000);
  }
  await expect(slow.next()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  expect(feed.watcherCount()).toBe(1);
});

test.for(['hinted at', 'found by the sweep'])(
  'a decision whose maker was suspended before it wrote it is told when it is %s',
  async (how, { database, nats }) => {
    await using feed = feedOf(database, nats, how === 'hinted at' ? {} : { sweepIntervalMs: 50 });
    const { seen } = collect(await feed.watch({}, new AbortController().signal));
    const id = await decided(database, { decidedAgo: '5 minutes' });
    if (how === 'hinted at') hint(nats, id);
    await vi.waitFor(() => expect(seen).toEqual([`${id} 2`]), 10_000);
  },
);

test('what is announced is told whenever it was recorded, and what came before it is not', async ({
  database,
  nats,
}) => {
  const id = await decided(database, { versions: 3 });
  await using feed = feedOf(database, nats);
  const { seen } = collect(await feed.watch({}, new AbortController().signal));
  announce(nats, id, 3);
  const later = await decided(database, { versions: 3 });
  announce(nats, later, 3);
  announce(nats, id, 3);
  await vi.waitFor(() => expect(seen.toSorted()).toEqual([`${id} 3`, `${later} 2`, `${later} 3`].toSorted()), 10_000);
});

test('what is no application, or no version that there can be, keeps nobody from being told', async ({
  database,
  nats,
}) => {
  await using feed = feedOf(database, nats);
  const { seen } = collect(await feed.watch({}, new AbortController().signal));
  const id = await decided(database);
  hint(nats, 'not-a-uuid');
  announce(nats, randomUUID(), 2 ** 40);
  hint(nats, id);
  await vi.waitFor(() => expect(seen).toEqual([`${id} 2`]), 10_000);
});

test('many that are announced at once are told, each once', async ({ database, nats }) => {
  await using feed = feedOf(database, nats);
  const { seen } = collect(await feed.watch({}, new AbortController().signal));
  const ids: string[] = [];
  while (ids.length < 2_300) ids.push(...(await Promise.all(Array.from({ length: 100 }, () => decided(database)))));
  for (const id of ids) hint(nats, id);
  await vi.waitFor(() => expect(seen.toSorted()).toEqual(ids.map((id) => `${id} 2`).toSorted()), 10_000);
});

test('more than may be kept are told at the pace at which they are taken, in order and once', async ({
  database,
  nats,
}) => {
  const read = createDecisionReader(database, { pageSize: 10, maxKnown: 30 });
  await using feed = feedOf(database, nats, { read, maxKept: 20, patienceMs: 10_000, sweepIntervalMs: 50 });
  const stream = await feed.watch({}, new AbortController().signal);
  const ids = await Promise.all(Array.from({ length: 100 }, () => decided(database, { versions: 3 })));
  const versions = new Map<string, number[]>(ids.map((id) => [id, []]));
  for (let taken = 0; taken < 200; taken += 1) {
    const { value } = await stream.next();
    versions.get(value.applicationId)?.push(value.version);
    // Others have their turn, as with a client behind a network.
    await setImmediate();
  }
  expect([...versions.values()]).toEqual(ids.map(() => [2, 3]));
  const next = await decided(database);
  expect((await stream.next()).value).toMatchObject({ applicationId: next });
});

test('who subscribes while PostgreSQL is away is told what is decided from then on', async ({ database, nats }) => {
  await decided(database);
  const connections = (allowed: boolean) =>
    runSql(
      withDatabase(database.url, 'postgres'),
      `alter database ${new URL(database.url).pathname.slice(1)} allow_connections ${allowed}`,
    );
  await using gateways = await openDatabase({ databaseUrl: database.url, poolMax: 1, applicationName: 'a-gateway' });
  await using feed = feedOf(gateways, nats, { sweepIntervalMs: 50 });
  await connections(false);
  const { seen } = collect(await feed.watch({}, new AbortController().signal));
  const id = await decided(database);
  await connections(true);
  await vi.waitFor(() => expect(seen).toEqual([`${id} 2`]), 10_000);
});
