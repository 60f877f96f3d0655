import { test as base } from 'vitest';
import { cloneDatabase, type TestDatabase } from './database.ts';
import { startTestNats, type TestNats } from './nats.ts';

/** `test` with real servers: one database and one nats-server a test file, made when first asked for. */
export const test = base.extend<{ $file: { database: TestDatabase; nats: TestNats } }>({
  database: [
    // oxlint-disable-next-line eslint/no-empty-pattern -- vitest reads the parameter's pattern
    async ({}, use) => {
      await using database = await cloneDatabase();
      await use(database);
    },
    { scope: 'file' },
  ],
  nats: [
    // oxlint-disable-next-line eslint/no-empty-pattern -- vitest reads the parameter's pattern
    async ({}, use) => {
      await using nats = await startTestNats();
      await use(nats);
    },
    { scope: 'file' },
  ],
});
