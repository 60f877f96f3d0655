import { type Database, sql } from '@prequal/persistence';
import { gaugeOf, type Logger, type Registry, repeatedly } from '@prequal/service';

export type EraseCopiesOptions = {
  database: Database;
  /** Deletes from the streams what is personal of this application, and answers how many messages that were. */
  eraseMessages: (applicationId: string) => Promise<number>;
  isBrokerConnected: () => boolean;
  log: Logger;
  metrics: Registry;
};

const everyMs = 1_000;
const batch = 20;
/** a claimed one is nobody else's so long, also when who has claimed it dies */
const leaseMs = 30_000;
/** those that could not be deleted wait behind those that were not tried */
const retryAfterMs = 5_000;
/** after the first time: what was being published while the data was erased has arrived by then */
const againAfterMs = [60_000, 15 * 60_000];

/**
 * Completes erasures: PAN and name are gone from the database when `eraseApplicant` returns, and the entry that is
 * committed with it says that copies in the streams are to follow. It stays until they are deleted, whoever is away or
 * dies meanwhile, and until nothing can come after.
 */
export function startErasingCopies(options: EraseCopiesOptions): AsyncDisposable {
  const { database, eraseMessages, isBrokerConnected, log, metrics } = options;
  gaugeOf(
    metrics,
    { name: 'prequal_erasures_open', help: 'Erased applications of which copies may still be in the streams' },
    async () => {
      const { rows } = await sql<{ count: number }>`
        select count(*)::integer as count from erasures where purge_at is not null and purges = 0`.execute(
        database.sql(),
      );
      return rows[0]?.count ?? 0;
    },
  );

  /** Answers whether there may be more. NATS is asked between two statements: no transaction waits for it. */
  async function eraseSome(): Promise<boolean> {
    const { rows } = await sql<Claimed>`
      update erasures set purge_at = now() + ${leaseMs} * interval '1 millisecond'
      where application_id in (
        select application_id from erasures where purge_at <= now()
        order by purge_at limit ${batch} for update skip locked)
      returning application_id as id, purge_at`.execute(database.sql());
    if (rows.length === 0) return false;
    const outcomes = await Promise.allSettled(rows.map(({ id }) => eraseMessages(id)));
    const isDone = outcomes.map(({ status }) => status === 'fulfilled');
    const failure = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failure) log.warn({ err: failure.reason }, 'copies of erased data not deleted, will be tried again');
    // Another time than the claim's means that a copy has come meanwhile: then it stays due.
    await sql`
      update erasures e set purges = purges + c.is_done::integer,
        purge_at = now() + interval '1 millisecond'
          * case when c.is_done then (${againAfterMs}::integer[])[purges + 1] else ${retryAfterMs} end
      from unnest(${rows.map(({ id }) => id)}::uuid[], ${rows.map((row) => new Date(row.purge_at))}::timestamptz[],
        ${isDone}::boolean[]) c (id, purge_at, is_done)
      where e.application_id = c.id and e.purge_at = c.purge_at`.execute(database.sql());
    return rows.length === batch;
  }

  return repeatedly(async (stopping) => {
    try {
      while (isBrokerConnected() && !stopping.aborted && (await eraseSome()));
    } catch (error) {
      log.warn({ err: error }, 'erasures not looked for, will be tried again');
    }
    return everyMs * (0.5 + Math.random());
  });
}

type Claimed = { id: string; purge_at: string };
