import { randomUUID } from 'node:crypto';
import { createMetrics } from '@prequal/service';
import { quiet, test } from '@prequal/testing';
import { expect, vi } from 'vitest';
import { type Database, sql } from './database.ts';
import { createRelay, type OutboxMessage, type RelayOptions } from './relay.ts';

function message(): OutboxMessage {
  const id = randomUUID();
  return { id, subject: `loan.applications.status.${id}`, message: '{}' };
}

async function insert(database: Database, messages: OutboxMessage[], ageMs = 0): Promise<void> {
  for (const { id, subject, message: text } of messages) {
    await sql`insert into outbox (id, application_id, subject, message, created_at)
      values (${id}, ${id}, ${subject}, ${text}, now() - ${ageMs} * interval '1 millisecond')`.execute(database.sql());
  }
}

const waiting = async (database: Database) =>
  (await sql<{ id: string }>`select id from outbox`.execute(database.sql())).rows.map((row) => row.id);

/** A relay into a broker that is a list, as far as a relay can tell. */
function relaying(database: Database, options: Partial<RelayOptions> = {}) {
  const published: string[] = [];
  const relay = createRelay({
    database,
    publishes: ['statusChanged'],
    publish: async ({ id }) => void published.push(id),
    isBrokerConnected: () => true,
    log: quiet,
    metrics: createMetrics('test'),
    ...options,
  });
  return { relay, published };
}

test('what was just committed is published at once and leaves the outbox', async ({ database }) => {
  const { relay, published } = relaying(database);
  await using _ = relay;
  const messages = [message(), message(), message()];
  await insert(database, messages);
  relay.send(messages);
  await vi.waitFor(async () => expect(await waiting(database)).toEqual([]), 10_000);
  expect(published).toEqual(messages.map(({ id }) => id));
});

test('what a crash left is found by the sweeper; what is young is left to its writer', async ({ database }) => {
  const [old, young] = [[message(), message()], [message()]];
  await insert(database, old, 10_000);
  await insert(database, young, -60_000);
  const { relay, published } = relaying(database);
  await using _ = relay;
  await vi.waitFor(() => expect(published.toSorted()).toEqual(old.map(({ id }) => id).toSorted()), 10_000);
  await vi.waitFor(async () => expect(await waiting(database)).toEqual(young.map(({ id }) => id)), 10_000);
  await sql`update outbox set created_at = now()`.execute(database.sql());
  await vi.waitFor(async () => expect(await waiting(database)).toEqual([]), 10_000);
});

test('what the broker did not take stays, and is sent again', async ({ database }) => {
  let refuse = true;
  let refused = 0;
  const published: string[] = [];
  const { relay } = relaying(database, {
    publish: async ({ id }) => {
      if (refuse) {
        refused += 1;
        throw new Error('no answer');
      }
      published.push(id);
    },
  });
  await using _ = relay;
  const messages = [message()];
  await insert(database, messages, 10_000);
  relay.send(messages);
  // Once directly, and the whole of a sweep beside it.
  await vi.waitFor(() => expect(refused).toBeGreaterThanOrEqual(3), 10_000);
  expect(await waiting(database)).toHaveLength(1);
  refuse = false;
  await vi.waitFor(async () => expect(await waiting(database)).toEqual([]), 10_000);
  expect(published).toEqual([messages[0]?.id]);
});

test('nothing is tried while the broker is away, and the sweep begins when it is told that it is back', async ({
  database,
}) => {
  let connected = false;
  const { relay, published } = relaying(database, { isBrokerConnected: () => connected, sweepIntervalMs: 60_000 });
  await using _ = relay;
  const messages = Array.from({ length: 3 }, message);
  await insert(database, messages, 10_000);
  relay.send(messages);
  expect(await waiting(database)).toHaveLength(3);
  expect(published).toEqual([]);
  connected = true;
  relay.sweep();
  await vi.waitFor(() => expect(published).toHaveLength(3), 10_000);
});

test('two sweepers share the work and publish nothing twice', async ({ database }) => {
  const messages = Array.from({ length: 50 }, message);
  await insert(database, messages, 10_000);
  const published: string[] = [];
  const publish = async ({ id }: OutboxMessage) => {
    published.push(id);
  };
  await using _one = relaying(database, { publish }).relay;
  await using _two = relaying(database, { publish }).relay;
  await vi.waitFor(async () => expect(await waiting(database)).toEqual([]), 10_000);
  expect(published.toSorted()).toEqual(messages.map(({ id }) => id).toSorted());
});

test('disposing waits until what is on its way is removed', async ({ database }) => {
  const gate = Promise.withResolvers<void>();
  const { relay } = relaying(database, { publish: () => gate.promise });
  const messages = [message()];
  await insert(database, messages);
  relay.send(messages);
  const disposed = relay[Symbol.asyncDispose]();
  gate.resolve();
  await disposed;
  expect(await waiting(database)).toEqual([]);
});

test('what another service publishes is left to it', async ({ database }) => {
  const theirs = { ...message(), subject: `loan.applications.submitted.${randomUUID()}` };
  const ours = message();
  await insert(database, [theirs, ours], 10_000);
  const { relay, published } = relaying(database);
  await using _ = relay;
  await vi.waitFor(async () => expect(await waiting(database)).toEqual([theirs.id]), 10_000);
  expect(published).toEqual([ours.id]);
  await sql`delete from outbox`.execute(database.sql());
});
