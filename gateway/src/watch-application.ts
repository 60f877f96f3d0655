import { setTimeout as delay } from 'node:timers/promises';
import { isFinal, Refusal, type StatusUpdate } from '@prequal/schema';
import { backoffMs } from '@prequal/service';
import type { StatusSnapshot } from './read-status.ts';
import type { Signal, StatusFeed } from './status-feed.ts';
import { createUpdateStream } from './update-stream.ts';

export type WatchDeps = {
  feed: Pick<StatusFeed, 'watch'>;
  /** Undefined when the application does not exist, or is not for this watcher to see. */
  readStatus: (wanted: { id: string; after: number | undefined }) => Promise<StatusSnapshot | undefined>;
  /** waits before the database is asked again after the nth failure; rejects when the signal fires */
  pause?: (attempt: number, signal: AbortSignal) => Promise<unknown>;
};

const retry = { baseMs: 200, maxMs: 5_000 };

function pauseWithBackoff(attempt: number, signal: AbortSignal): Promise<void> {
  return delay(backoffMs(attempt, retry), undefined, { signal });
}

/**
 * The status of one application as a stream: the current one at once (or, with `after`, what came since),
 * then every change, versions growing without gaps, ending after a final status.
 *
 * Subscribes, waits until the broker knows, then reads: a change that the read does not see is signalled
 * afterwards. A signal that is the next version is passed on as it is; any other makes it read again.
 * Outages of either server are waited through. Throws `Refusal` NOT_FOUND. When `gone` fires, the client has
 * left or the gateway stops: the stream ends at any point, also before it has begun.
 */
export async function watchApplication(
  deps: WatchDeps,
  id: string,
  after: number | undefined,
  gone: AbortSignal,
): Promise<AsyncIterableIterator<StatusUpdate>> {
  const { feed, readStatus, pause = pauseWithBackoff } = deps;
  // A status changes a few times at most, so what a slow client has not taken yet stays short.
  const stream = createUpdateStream<StatusUpdate>(leave);
  /** the highest version passed on, or skipped by `after` */
  let last = after;
  let ended = false;
  // From the start: a signal that arrives before the first read is part of what it sees.
  let reading = true;
  let readAgain = false;
  /** Set by the first read, which tells whether there is anything for this watcher to see: before it, nothing is. */
  let admitted = false;

  const { subscribed, stop } = feed.watch(id, onSignal);

  function end(): void {
    ended = true;
    gone.removeEventListener('abort', leave);
    stop();
    stream.end();
  }

  function leave(): void {
    stream.cut();
    end();
  }

  function passOn(update: StatusUpdate): void {
    if (ended || (last !== undefined && update.version <= last)) return;
    last = update.version;
    stream.push(update);
    if (isFinal(update.status)) end();
  }

  function onSignal(signal: Signal): void {
    if (ended) return;
    if (signal !== 'look' && last !== undefined && admitted) {
      if (signal.version <= last) {
        // Nothing can follow a final status, even for a client that claims to have seen a later version.
        if (isFinal(signal.status)) end();
        return;
      }
      if (signal.version === last + 1) return passOn(signal);
    }
    if (reading) readAgain = true;
    else void readUntilCurrent();
  }

  /** False when the application does not exist. Signals that arrive while it reads make it read once more. */
  async function readUntilCurrent(): Promise<boolean> {
    reading = true;
    try {
      for (let attempt = 1; !ended; attempt += 1) {
        readAgain = false;
        const snapshot = await readStatus({ id, after: last }).catch(() => 'unreadable' as const);
        if (snapshot === undefined) return false;
        if (snapshot === 'unreadable') {
          await pause(attempt, gone).catch(() => undefined);
          continue;
        }
        admitted = true;
        for (const update of snapshot.updates) passOn(update);
        // With an `after` at or beyond the last version there is nothing to pass on, and never will be.
        if (snapshot.final && !ended) end();
        if (!readAgain) break;
        attempt = 0;
      }
    } finally {
      reading = false;
    }
    return true;
  }

  gone.addEventListener('abort', leave);
  if (gone.aborted) leave();
  await subscribed;
  if (!(await readUntilCurrent())) {
    end();
    throw new Refusal('NOT_FOUND', 'There is no application with this id.');
  }
  return stream.iterator;
}
