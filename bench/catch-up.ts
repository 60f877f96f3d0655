import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { createHistory } from '../test/chaos/history.ts';
import { createLoad, type Load } from '../test/chaos/load.ts';
import { untilQuiet } from '../test/chaos/quiet.ts';
import { startSystem } from '../test/chaos/system.ts';

/**
 * How long it takes to catch up: a server is away while clients go on submitting at the same rate (with retries
 * under their idempotency keys); from its return until everything that was submitted before is acknowledged,
 * decided, and seen by its watcher, the load still going on.
 *
 *   node bench/catch-up.ts --server nats --rate 100 --down 60
 */
const { values } = parseArgs({
  options: {
    server: { type: 'string', default: 'nats' },
    rate: { type: 'string', default: '100' },
    down: { type: 'string', default: '60' },
  },
});
if (values.server !== 'nats' && values.server !== 'postgres') throw new Error('--server is nats or postgres.');
const downMs = Number(values.down) * 1_000;
const warmUpMs = 10_000;
const limitMs = 180_000;

const pids = new Set<number>();
process.once('SIGINT', () => {
  for (const pid of pids) process.kill(-pid, 'SIGKILL');
  process.exit(130);
});
const folder = await mkdtemp(path.join(tmpdir(), 'prequal-catch-up-'));
await chmod(folder, 0o755);
try {
  await using history = createHistory(path.join(folder, 'history.jsonl'));
  await using system = await startSystem(folder, history, (pid, exited) => {
    pids.add(pid);
    void exited.then(() => pids.delete(pid));
  });
  const gatewayUrls = system.clientLinks.map(({ port }) => `http://127.0.0.1:${port}`);
  await using load = createLoad({ seed: 1, rate: Number(values.rate), gatewayUrls, history });
  const ending = new AbortController();
  const running = load.run(ending.signal);
  await delay(warmUpMs);
  // A fast shutdown: PostgreSQL would let its clients finish on SIGTERM.
  await system[values.server].restart({ signal: 'SIGINT', downMs });
  const before = load.submissions.length;
  const backAt = performance.now();
  console.log(
    `${values.server} was away for ${values.down} s; ${before} submissions so far, ${behind(load, before)} behind`,
  );
  let left = behind(load, before);
  while (left > 0 && performance.now() - backAt < limitMs) {
    await delay(100);
    left = behind(load, before);
  }
  const tookMs = Math.round(performance.now() - backAt);
  ending.abort();
  await running;
  const quiet = await untilQuiet(system, load, 30_000);
  console.log(left === 0 ? `caught up ${tookMs} ms after it was back` : `${left} still behind after ${tookMs} ms`);
  console.log('tookMs' in quiet ? `all ${load.submissions.length} done` : `not done: ${quiet.left.join(', ')}`);
  process.exitCode = left === 0 && 'tookMs' in quiet ? 0 : 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}

/** Of the first `count` submissions those that nobody has seen decided. */
function behind({ submissions, watchers }: Load, count: number): number {
  const decided = new Set(watchers.filter(({ updates }) => (updates.at(-1)?.version ?? 0) > 1).map(({ id }) => id));
  return submissions
    .slice(0, count)
    .filter(
      ({ acknowledged: [first] }) => first === undefined || !(decided.has(first.id) || startsLater(watchers, first.id)),
    ).length;
}

/** It asked for what comes after the decision, so that there is nothing for it to see. */
function startsLater(watchers: Load['watchers'], id: string): boolean {
  return watchers.some((watcher) => watcher.id === id && watcher.end === 'complete');
}
