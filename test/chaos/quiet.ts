import { setTimeout as delay } from 'node:timers/promises';
import { sql } from '@prequal/persistence';
import { readBacklog } from './facts.ts';
import type { Load } from './load.ts';
import type { System } from './system.ts';

const pollMs = 250;

/** Waits until nothing is under way any more. Answers what still is when the time is over, or how long it took. */
export async function untilQuiet(
  system: System,
  load: Load,
  boundMs: number,
): Promise<{ tookMs: number } | { left: string[] }> {
  const startedAt = performance.now();
  for (;;) {
    const left = await unrest(system, load).catch((error: unknown) => [`cannot be told: ${(error as Error).message}`]);
    const tookMs = Math.round(performance.now() - startedAt);
    if (left.length === 0) return { tookMs };
    if (tookMs > boundMs) return { left };
    await delay(pollMs);
  }
}

async function unrest(system: System, load: Load): Promise<string[]> {
  const left: string[] = [];
  const say = (count: number, what: string) => {
    if (count > 0) left.push(`${count} ${what}`);
  };
  say(load.unacknowledged().length, 'submissions without an answer');
  say(load.underWayCount(), 'applicants are not done');
  for (const { name, address } of system.services) {
    const ready = await fetch(`${address}/readyz`, { signal: AbortSignal.timeout(2_000) }).then(
      async (response) => (await response.body?.cancel(), response.ok),
      () => false,
    );
    if (!ready) left.push(`${name} is not ready`);
  }
  const { pending, outbox, consumers } = await readBacklog(system);
  say(pending, 'applications are PENDING');
  say(outbox, 'events in the outbox');
  for (const { name, waiting, unsettled } of consumers) {
    say(waiting, `messages wait for ${name}`);
    say(unsettled, `messages of ${name} are not settled`);
  }
  say(await watchersBehind(system, load), 'watchers have not seen the last version');
  return left;
}

async function watchersBehind({ database }: System, load: Load): Promise<number> {
  const { rows } = await sql<{ id: string; version: number }>`
    select id, version from applications`.execute(database.sql());
  const versions = new Map(rows.map(({ id, version }) => [id, version]));
  return load.watchers.filter(
    ({ id, end, after, updates }) =>
      end === 'open' && (updates.at(-1)?.version ?? after ?? 0) < (versions.get(id) ?? 0),
  ).length;
}
