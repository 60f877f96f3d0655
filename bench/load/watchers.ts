import { type Percentiles, percentilesOf } from './arrivals.ts';
import { openEventStream } from './event-stream.ts';
import { faults } from './faults.ts';
import { openWatchSocket } from './watch-socket.ts';

/**
 * Subscriptions that stay, each on a connection of its own: `open` adds some, `expect` forgets what they were
 * told, `await` waits until all have been told something since then (or gives up), `close` ends them all.
 */
export type Watchers =
  | { do: 'open'; url: string; transport: 'ws' | 'sse'; ids: readonly string[] }
  | { do: 'expect' }
  | { do: 'await'; patienceMs: number }
  | { do: 'close' };

/** `toldAt` is when each was told, by the machine's clock in milliseconds; its last one is when all were. */
export type WatchersResult = { watching: number; toldAt: Percentiles; faults: string[] };

const openAtOnce = 100;

/** 0: not yet */
type Watching = { toldAt: number; close: () => void };
const watching = new Set<Watching>();
let wrong = faults();
let onTold: () => void = () => undefined;

export async function runWatchers(order: Watchers): Promise<WatchersResult> {
  if (order.do === 'open') await open(order);
  if (order.do === 'expect') for (const one of watching) one.toldAt = 0;
  if (order.do === 'await') await untilTold(order.patienceMs);
  if (order.do === 'close') {
    for (const { close } of watching) close();
    watching.clear();
  }
  const found = wrong.list();
  wrong = faults();
  const toldAt = percentilesOf([...watching].map((one) => one.toldAt));
  return { watching: watching.size, toldAt, faults: found };
}

async function open({ url, transport, ids }: Extract<Watchers, { do: 'open' }>): Promise<void> {
  const left = ids.values();
  const openOne = async (id: string) => {
    const one: Watching = { toldAt: 0, close: () => undefined };
    const { promise: told, resolve, reject } = Promise.withResolvers<void>();
    const onUpdate = () => {
      one.toldAt = performance.timeOrigin + performance.now();
      resolve();
      onTold();
      return false;
    };
    const onEnd = (fault = 'the stream completed') => {
      wrong.note(fault);
      watching.delete(one);
      reject(new Error(fault));
    };
    if (transport === 'ws') {
      const socket = await openWatchSocket(url);
      one.close = socket.close;
      socket.watch(id, onUpdate, onEnd);
    } else {
      one.close = openEventStream(url, id, onUpdate, onEnd);
    }
    watching.add(one);
    await told;
  };
  // Whoever is done takes the next one; all share what is left.
  const workers = Array.from({ length: openAtOnce }, async () => {
    for (const id of left) await openOne(id).catch((error: Error) => wrong.note(error.message));
  });
  await Promise.all(workers);
}

async function untilTold(patienceMs: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const missing = () => [...watching].filter(({ toldAt }) => toldAt === 0).length;
  let left = missing();
  onTold = () => {
    left -= 1;
    // Somebody may have been told twice.
    if (left > 0) return;
    left = missing();
    if (left === 0) resolve();
  };
  if (left === 0) resolve();
  const timer = setTimeout(resolve, patienceMs);
  await promise;
  clearTimeout(timer);
  onTold = () => undefined;
  if (missing() > 0) wrong.note(`${missing()} of ${watching.size} watchers were not told`);
}
