import { setTimeout as delay } from 'node:timers/promises';
import type { Broker } from '@prequal/messaging';
import { decodeEvent, Refusal, type StatusUpdate, subjectOf } from '@prequal/schema';
import type { DecisionFilter } from '@prequal/schema/graphql';
import { backoffMs, type Logger } from '@prequal/service';
import { validate as isUuid } from 'uuid';
import { type DecisionReader, type FoundDecision, unnamedVersion } from './read-decisions.ts';
import { UpdateStream } from './update-stream.ts';

export type DecisionFeed = AsyncDisposable & {
  /** Every decision from now on, of each application in its order. Ends when `gone` fires. */
  watch: (filter: DecisionFilter, gone: AbortSignal) => Promise<AsyncIterableIterator<StatusUpdate>>;
  watcherCount: () => number;
};

export type DecisionFeedOptions = {
  broker: Pick<Broker, 'subscribe' | 'flush' | 'onConnect'>;
  read: () => DecisionReader;
  log: Logger;
  /** between half of it and all of it passes between two looks for what the network lost, milliseconds */
  sweepIntervalMs: number;
  /** with so many kept for a client that does not take them, nothing is read for anybody until it has taken some */
  maxKept?: number;
  /** no longer than this: then it is told to begin anew */
  patienceMs?: number;
};

const retry = { baseMs: 200, maxMs: 5_000 };
/** after a reconnect every gateway looks at once; within this they spread out */
const reconnectJitterMs = 500;
/** a watcher is not kept waiting longer for a server that does not answer */
const flushLimitMs = 2_000;
/** most applications asked for at a time */
const maxNamed = 1_000;
/** most that wait to be asked for, while PostgreSQL is away; what comes then is found by time */
const maxWaiting = 50_000;

const tooSlow = 'Decisions came faster than they were taken. Subscribe again; what was missed stands in applications.';

type Watcher = { filter: DecisionFilter; stream: UpdateStream<StatusUpdate>; leaving: AbortController };

/**
 * Decisions of all applications for those behind the desk. A status message only says which application to look
 * at: what is passed on is read from PostgreSQL, once for all watchers, in batches that grow while a read is under
 * way. So each application's decisions come in order and without gaps, whatever the network does. What it lost
 * altogether is found by time, page by page, after each reconnect and now and then; see `createDecisionReader`.
 *
 * With the first watcher it begins, and with the last one it lets go of its subscription.
 */
export function createDecisionFeed(options: DecisionFeedOptions): DecisionFeed {
  const { broker, read, log, sweepIntervalMs, maxKept = 10_000, patienceMs = 2_000 } = options;
  const watchers = new Set<Watcher>();
  let running: Running | undefined;
  let room = Promise.withResolvers<void>();

  function passOn(decisions: readonly FoundDecision[]): void {
    for (const watcher of watchers) {
      const { statuses, loanTypes } = watcher.filter;
      for (const { loanType, ...update } of decisions) {
        if (statuses && !statuses.includes(update.status)) continue;
        if (loanTypes && !loanTypes.includes(loanType)) continue;
        watcher.stream.push(update);
      }
    }
  }

  /** Reading goes no faster than they take it: what was missed in an outage may be more than can be kept. */
  async function waitForRoom(): Promise<void> {
    const behind = () => [...watchers].filter(({ stream }) => stream.size() > maxKept);
    if (behind().length === 0) return;
    const patience = AbortSignal.timeout(patienceMs);
    const over = new Promise<void>((resolve) => patience.addEventListener('abort', () => resolve(), { once: true }));
    while (!patience.aborted && behind().length > 0) {
      room = Promise.withResolvers();
      await Promise.race([room.promise, over]);
    }
    for (const watcher of behind()) leave(watcher, new Refusal('UNAVAILABLE', tooSlow));
  }

  function leave(watcher: Watcher, error?: Error): void {
    watcher.stream.cut(error);
    watcher.leaving.abort();
    if (!watchers.delete(watcher)) return;
    room.resolve();
    if (watchers.size > 0) return;
    running?.stop();
    running = undefined;
  }

  function run(): Running {
    const stopping = new AbortController();
    const reader = read();
    const named = new Map<string, number>();
    let lookByTime = false;
    let isLooking = false;
    let isReading = false;
    let hasBegun = false;
    let triedAt: number | undefined;
    const tried = Promise.withResolvers<void>();

    function name(id: string, version: number): void {
      // Whatever else came on the subject is no application, and would fail the read of all others.
      if (!isUuid(id)) return;
      if (named.size < maxWaiting) named.set(id, Math.min(version, named.get(id) ?? unnamedVersion));
      else lookByTime = true;
    }

    /** With the first try, or at the moment of it: who came while PostgreSQL was away misses nothing since. */
    async function begin(): Promise<void> {
      try {
        await reader.begin(() => (triedAt === undefined ? 0 : performance.now() - triedAt));
        hasBegun = true;
      } finally {
        triedAt ??= performance.now();
        tried.resolve();
      }
    }

    async function readNamed(): Promise<void> {
      // What is signalled from here on may have been committed after the read.
      const asked = new Map(named.entries().take(maxNamed));
      for (const id of asked.keys()) named.delete(id);
      try {
        passOn(await reader.signalled(asked));
      } catch (error) {
        for (const [id, version] of asked) name(id, version);
        throw error;
      }
    }

    async function readPage(): Promise<void> {
      // A look that is asked for from here on may be for what was committed behind this one.
      if (!isLooking) lookByTime = false;
      isLooking = true;
      const { decisions, isLast } = await reader.nextPage();
      isLooking = !isLast;
      passOn(decisions);
    }

    async function readAll(): Promise<void> {
      for (let attempt = 1; !stopping.signal.aborted; attempt += 1) {
        lookByTime ||= reader.isFull();
        if (hasBegun && !lookByTime && !isLooking && named.size === 0) break;
        try {
          if (!hasBegun) await begin();
          await waitForRoom();
          // First, so that it goes on also while names cannot be read.
          if (lookByTime || isLooking) await readPage();
          if (named.size > 0) await readNamed();
          attempt = 0;
        } catch (error) {
          log.warn({ err: error, attempt }, 'decisions not read, their watchers wait');
          await pause(backoffMs(attempt, retry));
        }
      }
      isReading = false;
    }

    function wake(): void {
      if (isReading) return;
      isReading = true;
      void readAll();
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

    const unsubscribe = broker.subscribe(subjectOf('statusChanged', '*'), (message) => {
      name(message.subject.slice(message.subject.lastIndexOf('.') + 1), versionIn(message.string()));
      wake();
    });
    const onConnect = broker.onConnect(() => void pause(Math.random() * reconnectJitterMs).then(look));
    void sweep();
    return {
      begun: broker
        .flush(flushLimitMs)
        .then(wake)
        .then(() => tried.promise),
      stop: () => {
        stopping.abort();
        tried.resolve();
        unsubscribe();
        onConnect[Symbol.dispose]();
      },
    };
  }

  function createWatcher(filter: DecisionFilter): Watcher {
    const stream = new UpdateStream<StatusUpdate>({
      onLeave: () => leave(watcher),
      onTake: () => void (stream.size() <= maxKept && room.resolve()),
    });
    const watcher: Watcher = { filter, stream, leaving: new AbortController() };
    return watcher;
  }

  return {
    watch: async (filter, gone) => {
      const watcher = createWatcher(filter);
      running ??= run();
      watchers.add(watcher);
      gone.addEventListener('abort', () => leave(watcher), { signal: watcher.leaving.signal });
      if (gone.aborted) leave(watcher);
      await running?.begun;
      return watcher.stream;
    },
    watcherCount: () => watchers.size,
    [Symbol.asyncDispose]: async () => {
      for (const watcher of watchers) leave(watcher);
    },
  };
}

type Running = { begun: Promise<unknown>; stop: () => void };

function versionIn(text: string): number {
  try {
    return Math.min(decodeEvent('statusChanged', text).data.version, unnamedVersion);
  } catch {
    return unnamedVersion;
  }
}
