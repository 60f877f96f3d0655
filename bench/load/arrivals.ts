import { setTimeout as delay } from 'node:timers/promises';
import { type Connection, openConnection } from './connection.ts';
import { acknowledgedId, submission } from './documents.ts';
import { faults } from './faults.ts';
import { openWatchSocket, untilDecided, type WatchSocket } from './watch-socket.ts';

/** Submissions that come at a rate whatever becomes of the earlier ones, each with a watcher of its own. */
export type Arrivals = { url: string; rate: number; seconds: number; sockets: number };

export type ArrivalsResult = {
  submitted: number;
  /** pushed decisions a second, until the last one */
  decidedPerSecond: number;
  /** from the moment that a submission was due */
  acknowledgedMs: Percentiles;
  pushedMs: Percentiles;
  faults: string[];
};

export type Percentiles = { p50: number; p95: number; p99: number; p999: number; max: number };

const patienceMs = 10_000;

export async function runArrivals({ url, rate, seconds, sockets }: Arrivals): Promise<ArrivalsResult> {
  const wrong = faults();
  const watching = await Promise.all(Array.from({ length: sockets }, () => openWatchSocket(url)));
  const idle: Connection[] = await Promise.all(Array.from({ length: 32 }, () => openConnection(url)));
  const acknowledgedMs: number[] = [];
  const pushedMs: number[] = [];
  const running: Promise<void>[] = [];

  async function one(socket: WatchSocket, dueAt: number): Promise<void> {
    let connection = idle.pop();
    while (connection && !connection.isOpen()) connection = idle.pop();
    connection ??= await openConnection(url);
    const id = acknowledgedId(await connection.post(submission()));
    idle.push(connection);
    acknowledgedMs.push(performance.now() - dueAt);
    await untilDecided(socket, id);
    pushedMs.push(performance.now() - dueAt);
  }

  const begunAt = performance.now();
  const count = Math.round(rate * seconds);
  for (let index = 0; index < count; index += 1) {
    const dueAt = begunAt + (index * 1_000) / rate;
    const waitMs = dueAt - performance.now();
    if (waitMs >= 0.5) await delay(waitMs);
    const socket = watching[index % watching.length];
    // Timers count in whole milliseconds: who comes a little early is not late, whoever comes late was due before.
    if (socket)
      running.push(one(socket, Math.min(dueAt, performance.now())).catch((error: Error) => wrong.note(error.message)));
    // Answers are read between the submissions, also while they come late.
    if (waitMs < -1 && index % 8 === 0) await delay(0);
  }
  await Promise.race([Promise.all(running), delay(patienceMs, undefined, { ref: false })]);
  const decidedPerSecond = pushedMs.length / ((performance.now() - begunAt) / 1_000);
  if (pushedMs.length < count) wrong.note(`${count - pushedMs.length} of ${count} were not told of a decision`);
  for (const { close } of [...idle, ...watching]) close();
  return {
    submitted: count,
    decidedPerSecond,
    acknowledgedMs: percentilesOf(acknowledgedMs),
    pushedMs: percentilesOf(pushedMs),
    faults: wrong.list(),
  };
}

export function percentilesOf(samples: readonly number[]): Percentiles {
  const sorted = Float64Array.from(samples).toSorted();
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99), p999: at(0.999), max: at(1) };
}
