import { test } from '@prequal/testing';
import { expect } from 'vitest';
import { sql } from './database.ts';

test('a statement is planned once a session, by index, and never compiled', async ({ database }) => {
  const setting = (name: string) => sql<string>`current_setting(${name}::text)`;
  const { rows } = await sql`
    select ${setting('plan_cache_mode')} as plans, ${setting('enable_seqscan')} as scans, ${setting('jit')} as jit`.execute(
    database.sql(),
  );
  expect(rows).toEqual([{ plans: 'force_generic_plan', scans: 'off', jit: 'off' }]);
});
