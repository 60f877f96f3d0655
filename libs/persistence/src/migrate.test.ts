import { quiet, runSql, test } from '@prequal/testing';
import { expect } from 'vitest';
import { sql } from './database.ts';
import { migrate, migrateDown, schemaIsCurrent, whenSchemaIsCurrent } from './migrate.ts';

test('every migration can be taken back and applied again, and readiness follows', async ({ database }) => {
  const databaseUrl = database.url;
  const tables = () =>
    runSql<{ name: string }>(
      databaseUrl,
      "select tablename as name from pg_tables where schemaname = 'public' order by 1",
    );
  const before = await tables();
  expect(await schemaIsCurrent(database)).toBe(true);
  let taken: string[];
  do taken = await migrateDown({ databaseUrl });
  while (taken.length > 0);
  expect(await schemaIsCurrent(database)).toBe(false);
  expect((await tables()).map(({ name }) => name)).toEqual(['schema_migrations']);
  const ready = whenSchemaIsCurrent(database, quiet);
  expect(await migrate({ databaseUrl })).not.toEqual([]);
  await ready;
  expect(await tables()).toEqual(before);
  expect(await migrate({ databaseUrl })).toEqual([]);
});

test('many migrations at once apply each step once', async ({ database }) => {
  const databaseUrl = database.url;
  await migrateDown({ databaseUrl });
  const applied = await Promise.all(Array.from({ length: 5 }, () => migrate({ databaseUrl })));
  expect(applied.filter((names) => names.length > 0)).toHaveLength(1);
});

test('a database without any schema is not current', async ({ database }) => {
  await sql`drop table schema_migrations`.execute(database.sql());
  expect(await schemaIsCurrent(database)).toBe(false);
});
