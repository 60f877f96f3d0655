import { setTimeout as delay } from 'node:timers/promises';
import type { Broker } from '@prequal/messaging';
import { decodeEvent, type StatusUpdate, subjectOf } from '@prequal/schema';
import { inBatches, type Logger } from '@prequal/service';

/** A change of status as it happened, or the hint that changes may have been missed: look at the database. */
export type Signal = StatusUpdate | 'look';

export type StatusFeed = AsyncDisposable & {
  /** From the resolution of `subscribed` on, no change of this application goes unsignalled. */
  watch: (applicationId: string, listener: (signal: Signal) => void) => { subscribed: Promise<void>; stop: () => void };
  /** Applications with at least one watcher here. */
  watchedCount: () => number;
};

export type StatusFeedOptions = {
  broker: Broker;
  log: Logger;
  /** Repairs what the network lost; between half of it and all of it passes between two looks. */
  sweepIntervalMs: number;
};

/** after a reconnect every gateway looks at once; within this they spread out */
const reconnectJitterMs = 500;

/** to end subscriptions is in no hurry: many share a write */
const releaseAfterMs = 100;

/** a watcher is not kept waiting longer for a server that does not answer */
const flushLimitMs = 2_000;

/**
 * In a cluster a change may be published on a server that has not heard of the subscription yet, although
 * ours has confirmed it. It hears of it within this, and the few who still wait then look once more.
 */
const clusterKnowsMs = 500;

type Watched = { listeners: Set<(signal: Signal) => void>; unsubscribe: () => void };

/** One NATS subscription a watched application, however many watch it here; released with the last of them. */
export function createStatusFeed({ broker, log, sweepIntervalMs }: StatusFeedOptions): StatusFeed {
  /** By application. No `Map`: they come and go with each application, see `Slots`. */
  const watched: Record<string, Watched | undefined> = Object.create(null);
  /** applications whose last watcher has left a moment ago */
  let left: string[] = [];
  let releasing: NodeJS.Timeout | undefined;
  const stopping = new AbortController();
  // Watchers that come in the same turn share one round trip to the server.
  const flush = inBatches(
    async (subscribers: readonly string[]) => {
      const flushed = broker.flush();
      if (broker.isClustered()) void afterDelay(clusterKnowsMs, () => lookAt(subscribers));
      const slow = await Promise.race([flushed.then(() => false), delay(flushLimitMs, true, { ref: false })]);
      // They read now, and once more when the server has really seen their subscriptions.
      if (slow) void flushed.then(lookAtAll);
      return subscribers.map(() => undefined);
    },
    { maxItems: 10_000, maxConcurrent: 1 },
  );

  function subscribe(applicationId: string): Watched {
    const listeners = new Set<(signal: Signal) => void>();
    const unsubscribe = broker.subscribe(subjectOf('statusChanged', applicationId), (message) => {
      const signal = read(message.string());
      for (const listener of listeners) listener(signal);
    });
    const entry = { listeners, unsubscribe };
    watched[applicationId] = entry;
    return entry;
  }

  /** Those that nobody has come back to. */
  function release(): void {
    releasing = undefined;
    for (const applicationId of left) {
      const entry = watched[applicationId];
      if (!entry || entry.listeners.size > 0) continue;
      delete watched[applicationId];
      entry.unsubscribe();
    }
    left = [];
  }

  function read(text: string): Signal {
    try {
      const { subject, time, data } = decodeEvent('statusChanged', text);
      return { applicationId: subject, occurredAt: time, ...data };
    } catch (error) {
      log.error({ err: error }, 'malformed status message; its watchers look at the database instead');
      return 'look';
    }
  }

  function lookAt(applicationIds: Iterable<string>): void {
    for (const id of applicationIds) for (const listener of watched[id]?.listeners ?? []) listener('look');
  }

  function lookAtAll(): void {
    lookAt(Object.keys(watched));
  }

  async function afterDelay(delayMs: number, work: () => void): Promise<void> {
    await delay(delayMs, undefined, { signal: stopping.signal, ref: false }).then(work, () => undefined);
  }

  // Called once subscriptions are in place again; what was published meanwhile can only be read.
  const onConnect = broker.onConnect(() => {
    if (Object.keys(watched).length > 0) void afterDelay(Math.random() * reconnectJitterMs, () => void lookWhenKnown());
  });

  async function lookWhenKnown(): Promise<void> {
    await broker.flush();
    lookAtAll();
    if (broker.isClustered()) await afterDelay(clusterKnowsMs, lookAtAll);
  }

  async function sweep(): Promise<void> {
    while (!stopping.signal.aborted) await afterDelay(sweepIntervalMs * (0.5 + Math.random() / 2), lookAtAll);
  }
  const sweeping = sweep();

  return {
    watch: (applicationId, listener) => {
      const entry = watched[applicationId] ?? subscribe(applicationId);
      entry.listeners.add(listener);
      return {
        // Without a connection the answer is false at once; the reconnect makes everyone look again.
        subscribed: flush(applicationId),
        stop: () => {
          entry.listeners.delete(listener);
          if (entry.listeners.size > 0 || watched[applicationId] !== entry) return;
          left.push(applicationId);
          releasing ??= setTimeout(release, releaseAfterMs).unref();
        },
      };
    },
    watchedCount: () => Object.values(watched).filter((entry) => entry && entry.listeners.size > 0).length,
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      clearTimeout(releasing);
      onConnect[Symbol.dispose]();
      await sweeping;
      for (const applicationId of Object.keys(watched)) {
        watched[applicationId]?.unsubscribe();
        delete watched[applicationId];
      }
    },
  };
}
