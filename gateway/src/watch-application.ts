import { setTimeout as delay } from 'node:timers/promises';
import { isFinal, Refusal, type StatusUpdate } from '@prequal/schema';
import { backoffMs } from '@prequal/service';
import type { StatusSnapshot } from './read-status.ts';
import type { Signal, StatusFeed } from './status-feed.ts';
import { UpdateStream } from './update-stream.ts';

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
  const watch = new Watch(deps, id, after, gone);
  await watch.subscribed;
  if (!(await watch.readUntilCurrent())) {
    watch.end();
    throw new Refusal('NOT_FOUND', 'There is no application with this id.');
  }
  return watch.updates;
}

/** A class, since there are tens of thousands. */
class Watch {
  /** resolves when no change goes unsignalled any more */
  readonly subscribed: Promise<void>;
  // A status changes a few times at most, so what a slow client has not taken yet stays short.
  readonly updates = new UpdateStream<StatusUpdate>(this);
  readonly #deps: WatchDeps;
  readonly #id: string;
  readonly #gone: AbortSignal;
  readonly #stop: () => void;
  /** the highest version passed on, or skipped by `after` */
  #last: number | undefined;
  #ended = false;
  // From the start: a signal that arrives before the first read is part of what it sees.
  #reading = true;
  #readAgain = false;
  /** Set by the first read, which tells whether there is anything for this watcher to see: before it, nothing is. */
  #admitted = false;

  constructor(deps: WatchDeps, id: string, after: number | undefined, gone: AbortSignal) {
    this.#deps = deps;
    this.#id = id;
    this.#last = after;
    this.#gone = gone;
    const { subscribed, stop } = deps.feed.watch(id, (signal) => this.#onSignal(signal));
    this.#stop = stop;
    this.subscribed = subscribed;
    gone.addEventListener('abort', this);
    if (gone.aborted) this.onLeave();
  }

  /** The signal that the client has left. */
  handleEvent(): void {
    this.onLeave();
  }

  end(): void {
    this.#ended = true;
    this.#gone.removeEventListener('abort', this);
    this.#stop();
    this.updates.end();
  }

  onLeave(): void {
    this.updates.cut();
    this.end();
  }

  #passOn(update: StatusUpdate): void {
    if (this.#ended || (this.#last !== undefined && update.version <= this.#last)) return;
    this.#last = update.version;
    this.updates.push(update);
    if (isFinal(update.status)) this.end();
  }

  #onSignal(signal: Signal): void {
    if (this.#ended) return;
    if (signal !== 'look' && this.#last !== undefined && this.#admitted) {
      if (signal.version <= this.#last) {
        // Nothing can follow a final status, even for a client that claims to have seen a later version.
        if (isFinal(signal.status)) this.end();
        return;
      }
      if (signal.version === this.#last + 1) return this.#passOn(signal);
    }
    if (this.#reading) this.#readAgain = true;
    else void this.readUntilCurrent();
  }

  /** False when the application does not exist. Signals that arrive while it reads make it read once more. */
  async readUntilCurrent(): Promise<boolean> {
    const { pause = pauseWithBackoff } = this.#deps;
    this.#reading = true;
    try {
      for (let attempt = 1; !this.#ended; attempt += 1) {
        this.#readAgain = false;
        const snapshot = await this.#deps
          .readStatus({ id: this.#id, after: this.#last })
          .catch(() => 'unreadable' as const);
        if (snapshot === undefined) return false;
        if (snapshot === 'unreadable') {
          await pause(attempt, this.#gone).catch(() => undefined);
          continue;
        }
        this.#admitted = true;
        for (const update of snapshot.updates) this.#passOn(update);
        // With an `after` at or beyond the last version there is nothing to pass on, and never will be.
        if (snapshot.final && !this.#ended) this.end();
        if (!this.#readAgain) break;
        attempt = 0;
      }
    } finally {
      this.#reading = false;
    }
    return true;
  }
}
