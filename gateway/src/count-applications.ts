import { type Database, sql } from '@prequal/persistence';
import type { ApplicationFilter } from '@prequal/schema/graphql';

/** How many applications `a` of `source` there are of which `where` holds; `filter` says the same and tells counts apart. */
export type CountApplications = (source: Sql, where: Sql, filter: ApplicationFilter) => Promise<number>;

type Sql = ReturnType<typeof sql>;

const minimumAgeMs = 5_000;
/** A count that took a second is asked again after fifty. */
const agePerDuration = 50;
const maxRemembered = 200;

type Counted = { value: Promise<number>; goodUntilMs: number };

/**
 * Counting reads every row that it counts, so a count is shared and kept for a time that grows with what it cost:
 * however many pages are turned, counting takes a fiftieth of one session at most.
 */
export function createCountApplications(database: Database, now: () => number = () => performance.now()) {
  const counts = new Map<string, Counted>();

  async function ask(source: Sql, where: Sql): Promise<number> {
    const { rows } = await sql<{ count: string }>`select count(*) from ${source} where ${where}`.execute(
      database.sql(),
    );
    return Number(rows[0]?.count);
  }

  async function askFor(counted: Counted, ...of: [source: Sql, where: Sql]): Promise<number> {
    const startedAt = now();
    const count = await ask(...of);
    counted.goodUntilMs = now() + Math.max(minimumAgeMs, agePerDuration * (now() - startedAt));
    return count;
  }

  return (async (source, where, filter) => {
    // Few have one PAN and they are found by its index; to remember a count would be to remember the PAN.
    if (filter.panNumber !== undefined) return ask(source, where);
    const key = JSON.stringify(filter);
    const known = counts.get(key);
    if (known && known.goodUntilMs > now()) return known.value;
    const counted: Counted = { value: Promise.resolve(0), goodUntilMs: Number.POSITIVE_INFINITY };
    counted.value = askFor(counted, source, where);
    counts.delete(key);
    counts.set(key, counted);
    const [oldest] = counts.keys();
    if (counts.size > maxRemembered && oldest !== undefined) counts.delete(oldest);
    // A failure is not remembered; what was asked since then is.
    counted.value.catch(() => counts.get(key) === counted && counts.delete(key));
    return counted.value;
  }) satisfies CountApplications;
}
