import { randomUUID } from 'node:crypto';
import { provision, publishMessage, toMessage } from '@prequal/messaging';
import { createEvent, type StatusUpdate } from '@prequal/schema';
import { quiet, type TestNats, test } from '@prequal/testing';
import { expect, vi } from 'vitest';
import { createStatusFeed, type Signal } from './status-feed.ts';

async function publish(nats: TestNats, applicationId: string, version: number): Promise<void> {
  const event = createEvent('statusChanged', {
    id: randomUUID(),
    source: 'decisioning',
    applicationId,
    time: new Date(1_000),
    trace: { correlationId: 'a-test', traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` },
    data: { status: 'MANUAL_REVIEW', version, cibilScore: 700, reasons: [{ code: 'A', message: 'b' }] },
  });
  await publishMessage(nats.broker, toMessage('statusChanged', event));
}

async function subscriptionsOf(nats: TestNats, applicationId: string): Promise<number> {
  const all = (await nats.connections()).flatMap(({ subscriptions }) => subscriptions);
  return all.filter((subject) => subject === `loan.applications.status.${applicationId}`).length;
}

/** Watches and remembers the signals. */
function watching(feed: ReturnType<typeof createStatusFeed>, applicationId: string) {
  const signals: Signal[] = [];
  return { signals, ...feed.watch(applicationId, (signal) => signals.push(signal)) };
}

test('once subscribed, the server knows, and every change is signalled to every watcher here', async ({ nats }) => {
  const { jsm } = await nats.broker.jetStream();
  await provision(jsm, { replicas: 1, ackWaitMs: 30_000 });
  await using feed = createStatusFeed({ broker: nats.broker, log: quiet, sweepIntervalMs: 60_000 });
  const id = randomUUID();
  const [one, two] = [watching(feed, id), watching(feed, id)];
  await one.subscribed;
  expect(await subscriptionsOf(nats, id)).toBe(1);
  await publish(nats, id, 2);
  const expected: StatusUpdate = {
    applicationId: id,
    version: 2,
    status: 'MANUAL_REVIEW',
    occurredAt: new Date(1_000),
    cibilScore: 700,
    reasons: [{ code: 'A', message: 'b' }],
  };
  await vi.waitFor(() => expect([one.signals, two.signals]).toEqual([[expected], [expected]]), 10_000);
});

test('the subscription goes with the last watcher and comes back with the next', async ({ nats }) => {
  await using feed = createStatusFeed({ broker: nats.broker, log: quiet, sweepIntervalMs: 60_000 });
  const id = randomUUID();
  const [one, two] = [watching(feed, id), watching(feed, id)];
  one.stop();
  one.stop();
  await two.subscribed;
  expect([feed.watchedCount(), await subscriptionsOf(nats, id)]).toEqual([1, 1]);
  two.stop();
  const three = watching(feed, id);
  // A late stop of an earlier watcher must not take the subscription from the new one.
  two.stop();
  await three.subscribed;
  await vi.waitFor(async () => expect([feed.watchedCount(), await subscriptionsOf(nats, id)]).toEqual([1, 1]), 10_000);
  three.stop();
  await vi.waitFor(async () => expect([feed.watchedCount(), await subscriptionsOf(nats, id)]).toEqual([0, 0]), 10_000);
});

test('a malformed message makes its watchers look, and harms no others', async ({ nats }) => {
  await using feed = createStatusFeed({ broker: nats.broker, log: quiet, sweepIntervalMs: 60_000 });
  const id = randomUUID();
  const watcher = watching(feed, id);
  await watcher.subscribed;
  const { js } = await nats.broker.jetStream();
  await js.publish(`loan.applications.status.${id}`, '{ no json');
  await vi.waitFor(() => expect(watcher.signals).toEqual(['look']), 10_000);
});

test('now and then everyone looks, whatever the network lost', async ({ nats }) => {
  await using feed = createStatusFeed({ broker: nats.broker, log: quiet, sweepIntervalMs: 50 });
  const watchers = [watching(feed, randomUUID()), watching(feed, randomUUID())];
  await vi.waitFor(() => {
    for (const { signals } of watchers) expect(signals.length).toBeGreaterThan(1);
  }, 10_000);
  expect(new Set(watchers.flatMap(({ signals }) => signals))).toEqual(new Set(['look']));
});

test('when NATS comes back everyone looks once it knows their subscriptions again', async ({ nats }) => {
  await using feed = createStatusFeed({ broker: nats.broker, log: quiet, sweepIntervalMs: 60_000 });
  const id = randomUUID();
  const watcher = watching(feed, id);
  await watcher.subscribed;
  const outage = await nats.away();
  const late = watching(feed, randomUUID());
  // Without a server there is nothing to wait for: the watcher reads, and looks again afterwards.
  await late.subscribed;
  await outage[Symbol.asyncDispose]();
  await vi.waitFor(() => expect([watcher.signals, late.signals]).toEqual([['look'], ['look']]), 10_000);
  expect(await subscriptionsOf(nats, id)).toBe(1);
});
