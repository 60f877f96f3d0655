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
const pollMs = 1_000;

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
    await delay(pollMs);
    left = behind(load, before);
    console.log(`${Math.round((performance.now() - backAt) / 1_000)} s: ${left} behind`);
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

/** Of the first `count` submissions those whose watcher has not seen a decision, or come after it and been told the end. */
function behind({ submissions, watchers }: Load, count: number): number {
  const saw = ({ updates, end }: Load['watchers'][number]) => (updates.at(-1)?.version ?? 0) > 1 || end === 'complete';
  const served = new Set(watchers.filter(saw).map(({ id }) => id));
  return submissions.slice(0, count).filter(({ acknowledged: [first] }) => !first || !served.has(first.id)).length;
}
