import { randomUUID } from 'node:crypto';
import { connectBroker } from '@prequal/messaging';
import { quiet, startTestNatsCluster } from '@prequal/testing';
import { expect, test, vi } from 'vitest';
import { createStatusFeed } from './status-feed.ts';

test('a change that another server publishes before it knows of the watcher is looked up', async () => {
  await using cluster = await startTestNatsCluster();
  const [near = '', far = ''] = cluster.urls;
  await using broker = connectBroker({ natsUrl: near, name: 'gateway', log: quiet });
  await using feed = createStatusFeed({ broker, log: quiet, sweepIntervalMs: 600_000 });
  await using publisher = connectBroker({ natsUrl: far, name: 'publisher', log: quiet });
  const { js } = await publisher.jetStream();
  await vi.waitUntil(() => broker.isConnected() && publisher.isConnected(), 10_000);
  expect(broker.isClustered()).toBe(true);

  const ids = Array.from({ length: 500 }, () => randomUUID());
  const signalled = new Set<string>();
  const paused = cluster.pause(1);
  const watchers = ids.map((id) => feed.watch(id, () => signalled.add(id)));
  await Promise.all(watchers.map(({ subscribed }) => subscribed));
  // Both the subscriptions and the changes wait for it now, on two connections.
  const published = Promise.allSettled(
    ids.map((id) => js.publish(`loan.applications.status.${id}`, '{}', { timeout: 100 })),
  );
  paused[Symbol.dispose]();
  await vi.waitFor(() => expect(ids.filter((id) => !signalled.has(id))).toEqual([]), 10_000);
  await published;
});
