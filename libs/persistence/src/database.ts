import { setTimeout as delay } from 'node:timers/promises';
import { Migrator } from '@mikro-orm/migrations';
import { MikroORM, type SqlEntityManager } from '@mikro-orm/postgresql';
import type { ClientTls, Logger } from '@prequal/service';
import { type Kysely, sql } from 'kysely';
import { entities } from './entities.ts';
import { migrations } from './migrations/index.ts';
import { Session } from './session.ts';
import { sslOf } from './ssl.ts';

export { sql };

export type DatabaseOptions = {
  /** postgres://user:password@host:port/database */
  databaseUrl: string;
  /** with it, no password and no statement goes to a server that it does not prove */
  tls?: ClientTls | undefined;
  /** most connections held; one more query waits in line for at most `connectTimeoutMs` */
  poolMax: number;
  /** shown in pg_stat_activity */
  applicationName: string;
  connectTimeoutMs?: number;
  statementTimeoutMs?: number;
  log?: Logger;
};

/** The pool of one process. Opening it connects nothing: a service may start before PostgreSQL does. */
export type Database = AsyncDisposable & {
  orm: MikroORM;
  /** A fresh entity manager, for one unit of work. */
  em: () => SqlEntityManager;
  /** The way to PostgreSQL for what is hot or personal: whatever comes from outside is a bound parameter. */
  sql: () => Kysely<unknown>;
  isConnected: () => Promise<boolean>;
};

const sessionIdleMs = 10 * 60_000;
const probeTimeoutMs = 2_000;

/**
 * Statements with parameters are planned once a session, not each time: planning costs more than running them.
 * By index, since such a plan is kept while its tables grow. Never compiled: up to PostgreSQL 17 a small table that is
 * read as a whole all the same, such as that of the policies, looks so dear then that each reading would be compiled,
 * which took 71 ms instead of 0.2.
 */
const sessionSettings = '-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off';

/** Does all of it in one transaction, or nothing. */
export function inTransaction<Result>(
  database: Pick<Database, 'sql'>,
  work: (within: Pick<Database, 'sql'>) => Promise<Result>,
): Promise<Result> {
  return database
    .sql()
    .transaction()
    .execute((transaction) => work({ sql: () => transaction }));
}

/** Opens the pool. Nothing it logs holds a statement or a value. */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const { connectTimeoutMs = 5_000, statementTimeoutMs = 5_000, log } = options;
  const orm = await MikroORM.init({
    clientUrl: options.databaseUrl,
    entities,
    extensions: [Migrator],
    migrations: { migrationsList: migrations, snapshot: false, tableName: 'schema_migrations' },
    // A new session's first statements take twenty times as long as later ones: sessions are kept.
    pool: { min: 0, max: options.poolMax, idleTimeoutMillis: sessionIdleMs },
    driverOptions: {
      Client: Session,
      ...sslOf(options),
      application_name: options.applicationName,
      options: sessionSettings,
      connectionTimeoutMillis: connectTimeoutMs,
      statement_timeout: statementTimeoutMs,
      // Also when the network swallowed the answer: nobody waits for ever.
      query_timeout: statementTimeoutMs + 1_000,
      // Longer than a publish may take, which the sweeper waits for within its transaction.
      idle_in_transaction_session_timeout: 2 * statementTimeoutMs,
      keepAlive: true,
    },
    debug: false,
    logger: (message) => log?.warn(message),
  });
  const em = () => orm.em.fork() as SqlEntityManager;
  const kysely = () => orm.em.getConnection().getClient() as Kysely<unknown>;
  return {
    orm,
    em,
    sql: kysely,
    isConnected: async () => {
      const probe = sql`select 1`.execute(kysely()).then(
        () => true,
        () => false,
      );
      return Promise.race([probe, delay(probeTimeoutMs, false, { ref: false })]);
    },
    [Symbol.asyncDispose]: () => orm.close(true),
  };
}
