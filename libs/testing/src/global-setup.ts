import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findNatsServer, startPostgres } from '@prequal/local-stack';
import { ensureDatabaseUsers, migrate } from '@prequal/persistence';
import type { TestProject } from 'vitest/node';
import { runSql, templateName, urlsOfUsers, withDatabase } from './database.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** the server every test database lives on */
    postgresUrl: string;
    natsServerBinary: string;
  }
}

/** Once for all test files: a PostgreSQL of our own with a migrated template, and a nats-server program. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await using started = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'prequal-test-'));
  // As root, PostgreSQL runs as another user, who must be able to enter.
  await chmod(folder, 0o755);
  started.defer(() => rm(folder, { recursive: true, force: true }));
  const postgres = started.use(await startPostgres({ dataDir: join(folder, 'postgres'), port: 0 }));
  await ensureDatabaseUsers(postgres.url, urlsOfUsers(postgres.url));
  await runSql(postgres.url, `create database ${templateName}`);
  await migrate({ databaseUrl: withDatabase(postgres.url, templateName) });
  // The cache outlives the run: what had to be downloaded once is not downloaded again.
  const nats = await findNatsServer({ cacheDir: join(import.meta.dirname, '../../../.data/cache'), env: process.env });
  project.provide('postgresUrl', postgres.url);
  project.provide('natsServerBinary', nats.binary);
  const owned = started.move();
  return () => owned.disposeAsync();
}
