import { setTimeout as delay } from 'node:timers/promises';
import type { Broker } from '@prequal/messaging';
import { Refusal, type StatusUpdate, subjectOf } from '@prequal/schema';
import type { DecisionFilter } from '@prequal/schema/graphql';
import { backoffMs, type Logger } from '@prequal/service';
import type { DecisionReader, FoundDecision } from './read-decisions.ts';
import { createUpdateStream, type UpdateStream } from './update-stream.ts';

export type DecisionFeed = AsyncDisposable & {
  /** Every decision from now on, of each application in its order. Ends when `gone` fires. */
  watch: (filter: DecisionFilter, gone: AbortSignal) => Promise<AsyncIterableIterator<StatusUpdate>>;
  watcherCount: () => number;
};

export type DecisionFeedOptions = {
  broker: Pick<Broker, 'subscribe' | 'flush' | 'onConnect'>;
  read: DecisionReader;
  log: Logger;
  /** between half of it and all of it passes between two looks for what the network lost, milliseconds */
  sweepIntervalMs: number;
  /** most decisions kept for a client that does not take them; beyond, it is told to begin anew */
  maxKept?: number;
};

const retry = { baseMs: 200, maxMs: 5_000 };
/** after a reconnect every gateway looks at once; within this they spread out */
const reconnectJitterMs = 500;
/** a watcher is not kept waiting longer for a server that does not answer */
const flushLimitMs = 2_000;
/** most applications asked for by id; when there are more it asks for a time */
const maxNamed = 1_000;

const tooSlow = 'Decisions came faster than they were taken. Subscribe again; what was missed stands in applications.';

type Watcher = { filter: DecisionFilter; stream: UpdateStream<StatusUpdate>; leaving: AbortController };

/**
 * Decisions of all applications for those behind the desk. A status message only says which application to look
 * at: what is passed on is read from PostgreSQL, once for all watchers, in batches that grow while a read is under
 * way. So each application's decisions come in order and without gaps, whatever the network does. What it lost
 * altogether is found by time, after each reconnect and now and then; see `DecisionReader` for the overlap.
 *
 * With the first watcher it begins, and with the last one it lets go of its subscription.
 */
export function createDecisionFeed(options: DecisionFeedOptions): DecisionFeed {
  const { broker, read, log, sweepIntervalMs, maxKept = 10_000 } = options;
  const watchers = new Set<Watcher>();
  let running: Running | undefined;

  function passOn(decisions: readonly FoundDecision[]): void {
    for (const watcher of watchers) {
      // Of what came before: nobody can take anything while these are passed on.
      if (watcher.stream.size() > maxKept) leave(watcher, new Refusal('UNAVAILABLE', tooSlow));
      const { statuses, loanTypes } = watcher.filter;
      for (const { loanType, ...update } of decisions) {
        if (statuses && !statuses.includes(update.status)) continue;
        if (loanTypes && !loanTypes.includes(loanType)) continue;
        watcher.stream.push(update);
      }
    }
  }

  function leave(watcher: Watcher, error?: Error): void {
    watcher.stream.cut(error);
    watcher.leaving.abort();
    if (!watchers.delete(watcher)) return;
    if (watchers.size > 0) return;
    running?.stop();
    running = undefined;
  }

  function run(): Running {
    const stopping = new AbortController();
    const reader = read();
    const named = new Set<string>();
    let lookByTime = false;
    let reading: Promise<void> | undefined;

    async function readAll(): Promise<void> {
      for (let attempt = 1; !stopping.signal.aborted && (lookByTime || named.size > 0); attempt += 1) {
        const ids = lookByTime || named.size > maxNamed ? undefined : [...named];
        // What is signalled from here on may have been committed after the read.
        named.clear();
        lookByTime = false;
        try {
          passOn(await reader(ids));
          attempt = 0;
        } catch (error) {
          log.warn({ err: error, attempt }, 'decisions not read, their watchers wait');
          lookByTime = true;
          await pause(backoffMs(attempt, retry));
        }
      }
    }

    function wake(): void {
      reading ??= readAll().finally(() => (reading = undefined));
    }

    function look(): void {
      lookByTime = true;
      wake();
    }

    async function pause(ms: number): Promise<void> {
      await delay(ms, undefined, { signal: stopping.signal, ref: false }).catch(() => undefined);
    }

    async function sweep(): Promise<void> {
      while (!stopping.signal.aborted) {
        await pause(sweepIntervalMs * (0.5 + Math.random() / 2));
        look();
      }
    }

    const unsubscribe = broker.subscribe(subjectOf('statusChanged', '*'), ({ subject }) => {
      named.add(subject.slice(subject.lastIndexOf('.') + 1));
      wake();
    });
    const onConnect = broker.onConnect(() => void pause(Math.random() * reconnectJitterMs).then(look));
    void sweep();
    return {
      // The first look finds what is there already, which nobody is told.
      begun: broker
        .flush(flushLimitMs)
        .then(look)
        .then(() => reading),
      stop: () => {
        stopping.abort();
        unsubscribe();
        onConnect[Symbol.dispose]();
      },
    };
  }

  return {
    watch: async (filter, gone) => {
      const leaving = new AbortController();
      const watcher: Watcher = { filter, stream: createUpdateStream(() => leave(watcher)), leaving };
      running ??= run();
      watchers.add(watcher);
      gone.addEventListener('abort', () => leave(watcher), { signal: leaving.signal });
      if (gone.aborted) leave(watcher);
      await running?.begun;
      return watcher.stream.iterator;
    },
    watcherCount: () => watchers.size,
    [Symbol.asyncDispose]: async () => {
      for (const watcher of watchers) leave(watcher);
    },
  };
}

type Running = { begun: Promise<unknown>; stop: () => void };
