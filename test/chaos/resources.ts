import { setTimeout as delay } from 'node:timers/promises';
import { sql } from '@prequal/persistence';
import type { Violation } from './invariants.ts';
import type { ManagedService } from './service.ts';
import type { System } from './system.ts';

/** What a service process holds; it must come back to this when its clients have left. */
type Held = { heldBytes: number; descriptors: number; watched: number };

export type BaseLine = Map<string, Held>;

/** what a process may grow by for good: code compiled, sessions opened and kept */
const allowed = { heldBytes: 60_000_000, descriptors: 60 };
/** of each process of a kind, see DATABASE_POOL_MAX */
const sessionsPerProcess = 10;
const patienceMs = 5_000;

export async function readBaseLine({ services }: System): Promise<BaseLine> {
  return new Map(await Promise.all(services.map(async (service) => [service.name, await heldBy(service)] as const)));
}

/** What is not back at its base line, some seconds after the last client has left. */
export async function findLeaks(system: System, baseLine: BaseLine): Promise<Violation[]> {
  for (const deadline = performance.now() + patienceMs; ; await delay(250)) {
    const leaks = await look(system, baseLine);
    if (leaks.length === 0 || performance.now() > deadline) return leaks;
  }
}

async function look(system: System, baseLine: BaseLine): Promise<Violation[]> {
  const invariant = 'after the clients left, nothing of them is left';
  const found: Violation[] = [];
  for (const service of system.services) {
    const { name } = service;
    const now = await heldBy(service).catch(() => undefined);
    const before = baseLine.get(name);
    if (!now || !before) continue;
    const add = (what: string) => found.push({ invariant, who: name, what });
    if (now.watched > 0) add(`still watches ${now.watched} applications`);
    if (now.descriptors > before.descriptors + allowed.descriptors) {
      add(`${now.descriptors} open files and sockets, ${before.descriptors} before`);
    }
    if (now.heldBytes > before.heldBytes + allowed.heldBytes) {
      add(`${megabytes(now.heldBytes)} MB of memory, ${megabytes(before.heldBytes)} MB before`);
    }
  }
  const subjects = await subscriptions(system);
  const left = subjects.filter((subject) => subject.startsWith('loan.applications.status.'));
  if (left.length > 0) found.push({ invariant, who: 'nats', what: `${left.length} subscriptions to applications` });
  for (const { application, sessions, stuck } of await databaseSessions(system)) {
    if (sessions > 2 * sessionsPerProcess || stuck > 0) {
      found.push({ invariant, who: application, what: `${sessions} database sessions, ${stuck} idle in transactions` });
    }
  }
  return found;
}

async function heldBy({ address, signal }: ManagedService): Promise<Held> {
  // See collect-on-signal.ts; a signal is taken before the request that follows it.
  signal('SIGUSR2');
  const text = await (await fetch(`${address}/metrics`, { signal: AbortSignal.timeout(3_000) })).text();
  const read = (metric: string) => Number(new RegExp(`^${metric}(?:\\{[^}]*\\})? (\\S+)`, 'm').exec(text)?.[1] ?? 0);
  return {
    heldBytes: read('nodejs_heap_size_used_bytes') + read('nodejs_external_memory_bytes'),
    descriptors: read('process_open_fds'),
    watched: read('prequal_watched_applications'),
  };
}

async function subscriptions({ nats }: System): Promise<string[]> {
  const answer = await fetch(`${nats.current().monitorUrl}/connz?subs=1`);
  const { connections } = (await answer.json()) as { connections: { subscriptions_list?: string[] }[] };
  return connections.flatMap(({ subscriptions_list = [] }) => subscriptions_list);
}

async function databaseSessions({ database }: System) {
  const { rows } = await sql<{ application: string; sessions: number; stuck: number }>`
    select application_name as application, count(*)::integer as sessions,
      count(*) filter (where state like 'idle in transaction%' and state_change < now() - interval '5 s')::integer as stuck
    from pg_stat_activity where application_name in ('gateway', 'decisioning') group by 1`.execute(database.sql());
  return rows;
}

const megabytes = (bytes: number) => Math.round(bytes / 1_000_000);
