import { type Database, inTransaction, sql } from '@prequal/persistence';
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

  /** Answers whether there may be more. */
  async function eraseSome(): Promise<boolean> {
    return inTransaction(database, async (within) => {
      const { rows } = await sql<{ id: string }>`
          select application_id as id from erasures where purge_at <= now()
          order by purge_at limit ${batch} for update skip locked`.execute(within.sql());
      if (rows.length === 0) return false;
      const outcomes = await Promise.allSettled(rows.map(({ id }) => eraseMessages(id)));
      const done = rows.filter((_, index) => outcomes[index]?.status === 'fulfilled').map(({ id }) => id);
      const failure = outcomes.find((outcome) => outcome.status === 'rejected');
      if (failure) log.warn({ err: failure.reason }, 'copies of erased data not deleted, will be tried again');
      await sql`
          update erasures set purges = purges + 1,
            purge_at = now() + (${againAfterMs}::integer[])[purges + 1] * interval '1 millisecond'
          where application_id = any(${done}::uuid[])`.execute(within.sql());
      return rows.length === batch && done.length === rows.length;
    });
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
