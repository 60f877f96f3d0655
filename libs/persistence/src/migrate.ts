import { setTimeout as delay } from 'node:timers/promises';
import { Migrator } from '@mikro-orm/migrations';
import type { ClientTls, Logger } from '@prequal/service';
import { type Database, openDatabase, sql } from './database.ts';
import { migrations } from './migrations/index.ts';
import { storeShippedPolicies } from './policies.ts';

// Any constant will do, as long as every version of this command uses the same.
const lockId = 7_737_825;

/** The database and, when it speaks TLS, whom to trust. */
export type MigrateOptions = { databaseUrl: string; tls?: ClientTls | undefined };

/** Brings the schema up to date, stores the policies that are shipped, and answers the names of the migrations it applied. Safe to run at once from many places. */
export function migrate(options: MigrateOptions): Promise<string[]> {
  return underLock(options, async (migrator, database) => {
    const applied = await migrator.up();
    await storeShippedPolicies(database);
    return applied;
  });
}

/** Takes the newest migration back and answers its name; nothing when there is none. Its data is lost. */
export function migrateDown(options: MigrateOptions): Promise<string[]> {
  return underLock(options, async (migrator) => {
    const applied = await migrator.getExecuted();
    return applied.length === 0 ? [] : migrator.down();
  });
}

/** True when every migration this code knows has been applied. Throws when the database cannot be asked. */
export async function schemaIsCurrent(database: Database): Promise<boolean> {
  const known = await sql<{ exists: boolean }>`select to_regclass('schema_migrations') is not null as exists`.execute(
    database.sql(),
  );
  if (known.rows[0]?.exists !== true) return false;
  const applied = await sql<{ name: string }>`select name from schema_migrations`.execute(database.sql());
  const names = new Set(applied.rows.map((row) => row.name));
  return migrations.every((migration) => names.has(migration.name));
}

async function underLock(
  options: MigrateOptions,
  work: (migrator: Migrator, database: Database) => Promise<{ name: string }[]>,
): Promise<string[]> {
  await using database = await openDatabase({
    ...options,
    poolMax: 2,
    applicationName: 'prequal-migrate',
    // A migration may take long, and may wait long for the one that runs before it.
    statementTimeoutMs: 60 * 60 * 1_000,
  });
  return await database
    .sql()
    .connection()
    .execute(async (connection) => {
      await sql`select pg_advisory_lock(${lockId})`.execute(connection);
      try {
        const done = await work(new Migrator(database.em()), database);
        return done.map((migration) => migration.name);
      } finally {
        await sql`select pg_advisory_unlock(${lockId})`.execute(connection);
      }
    });
}

const schemaPollMs = 500;

/** Waits until every migration has been applied, for as long as that takes; says so in the log while it waits. */
export async function whenSchemaIsCurrent(database: Database, log: Logger): Promise<void> {
  for (let said = false; ; said = true) {
    try {
      if (await schemaIsCurrent(database)) return;
      if (!said) log.warn('waiting for the schema to be migrated: npm run migrate');
    } catch (error) {
      if (!said) log.warn({ err: error }, 'waiting for PostgreSQL');
    }
    await delay(schemaPollMs);
  }
}
