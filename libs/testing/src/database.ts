import { randomBytes } from 'node:crypto';
import { type Database, type DatabaseUser, databaseRoles, openDatabase, sql } from '@prequal/persistence';
import { inject, vi } from 'vitest';

export const templateName = 'prequal_template';

/** A database of its own, cloned from the migrated template. Disposing it fails when somebody is still connected. */
export type TestDatabase = Database & {
  /** of the owner, who may do anything */
  url: string;
  /** for a service, which may do what its role may */
  urls: Record<DatabaseUser, string>;
};

export async function cloneDatabase(): Promise<TestDatabase> {
  const server = inject('postgresUrl');
  const name = `test_${randomBytes(6).toString('hex')}`;
  await runSql(server, `create database ${name} template ${templateName}`);
  const url = withDatabase(server, name);
  const database = await openDatabase({ databaseUrl: url, poolMax: 5, applicationName: 'test' });
  return {
    ...database,
    url,
    urls: urlsOfUsers(url),
    [Symbol.asyncDispose]: async () => {
      await database[Symbol.asyncDispose]();
      try {
        await vi.waitFor(async () => {
          const sessions = await runSql<{ application_name: string }>(
            server,
            `select application_name from pg_stat_activity where datname = '${name}' and backend_type = 'client backend'`,
          );
          const left = sessions.map((session) => session.application_name);
          if (left.length > 0) throw new Error(`left database sessions open: ${left.join(', ')}`);
        }, 3_000);
      } finally {
        await runSql(server, `drop database ${name} with (force)`);
      }
    },
  };
}

/** One statement on a connection of its own. */
export async function runSql<Row>(databaseUrl: string, statement: string): Promise<Row[]> {
  await using database = await openDatabase({ databaseUrl, poolMax: 1, applicationName: 'test-admin' });
  const { rows } = await sql.raw<Row>(statement).execute(database.sql());
  return rows;
}

/** The same database for each user; global setup has made them. */
export function urlsOfUsers(databaseUrl: string): Record<DatabaseUser, string> {
  const names = Object.keys(databaseRoles) as DatabaseUser[];
  const urlOf = (user: DatabaseUser) => Object.assign(new URL(databaseUrl), { username: user, password: user }).href;
  return Object.fromEntries(names.map((user) => [user, urlOf(user)])) as Record<DatabaseUser, string>;
}

export function withDatabase(serverUrl: string, name: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return url.href;
}
