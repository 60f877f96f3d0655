import { setTimeout as delay } from 'node:timers/promises';
import { isFinal, Refusal, type StatusUpdate } from '@prequal/schema';
import { backoffMs, type Logger } from '@prequal/service';
import type { ReadStatus } from './read-status.ts';
import type { Signal, StatusFeed } from './status-feed.ts';

export type WatchDeps = {
  feed: Pick<StatusFeed, 'watch'>;
  readStatus: ReadStatus;
  log: Logger;
  /** waits before the database is asked again, milliseconds after the nth failure */
  pause?: (attempt: number) => Promise<unknown>;
};

const retry = { baseMs: 200, maxMs: 5_000 };

/**
 * The status of one application as a stream: the current one at once (or, with `after`, what came since),
 * then every change, versions growing without gaps, ending after a final status.
 *
 * Subscribes, waits until the broker knows, then reads: a change that the read does not see is signalled
 * afterwards. A signal that is the next version is passed on as it is; any other makes it read again.
 * Outages of either server are waited through. Throws `Refusal` NOT_FOUND.
 */
export async function watchApplication(
  deps: WatchDeps,
  id: string,
  after: number | undefined,
): Promise<AsyncIterableIterator<StatusUpdate>> {
  const { feed, readStatus, log, pause = (attempt) => delay(backoffMs(attempt, retry)) } = deps;
  /** passed on and not yet taken; a status changes a few times at most, so this stays short */
  const pending: StatusUpdate[] = [];
  /** the highest version passed on, or skipped by `after` */
  let last = after;
  let ended = false;
  // From the start: a signal that arrives before the first read is part of what it sees.
  let reading = true;
  let readAgain = false;
  let waiting: PromiseWithResolvers<IteratorResult<StatusUpdate>> | undefined;

  const { subscribed, stop } = feed.watch(id, onSignal);

  function end(): void {
    ended = true;
    stop();
    if (pending.length === 0) waiting?.resolve({ done: true, value: undefined });
  }

  function passOn(update: StatusUpdate): void {
    if (ended || (last !== undefined && update.version <= last)) return;
    last = update.version;
    if (waiting) {
      waiting.resolve({ done: false, value: update });
      waiting = undefined;
    } else {
      pending.push(update);
    }
    if (isFinal(update.status)) end();
  }

  function onSignal(signal: Signal): void {
    if (ended) return;
    if (signal !== 'look' && last !== undefined) {
      if (signal.version <= last) return;
      if (!reading && signal.version === last + 1) return passOn(signal);
    }
    if (reading) readAgain = true;
    else void readUntilCurrent();
  }

  /** False when the application does not exist. Signals that arrive while it reads make it read once more. */
  async function readUntilCurrent(): Promise<boolean> {
    reading = true;
    for (let attempt = 1; !ended; attempt += 1) {
      readAgain = false;
      try {
        const snapshot = await readStatus({ id, after: last });
        if (!snapshot) return false;
        for (const update of snapshot.updates) passOn(update);
        // With an `after` at or beyond the last version there is nothing to pass on, and never will be.
        if (snapshot.final && !ended) end();
        if (!readAgain) break;
        attempt = 0;
      } catch (error) {
        log.warn({ err: error, applicationId: id, attempt }, 'status not read, a watcher waits');
        await pause(attempt);
      }
    }
    reading = false;
    return true;
  }

  await subscribed;
  if (!(await readUntilCurrent())) {
    end();
    throw new Refusal('NOT_FOUND', 'There is no application with this id.');
  }

  const stream: AsyncIterableIterator<StatusUpdate> = {
    next: async () => {
      const value = pending.shift();
      if (value) return { done: false, value };
      if (ended) return { done: true, value: undefined };
      waiting ??= Promise.withResolvers();
      return waiting.promise;
    },
    return: async () => {
      pending.length = 0;
      end();
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]: () => stream,
  };
  return stream;
}
