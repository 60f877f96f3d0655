import { type Database, inTransaction, sql } from '@prequal/persistence';
import type { ApplicationFilter } from '@prequal/schema/graphql';
import { test as base } from '@prequal/testing';
import { expect } from 'vitest';
import { createCountApplications } from './count-applications.ts';
import { createListApplications } from './list-applications.ts';

const applications = 20_000;

/** Twenty of one PAN and thousands of each other, and those that wait are the oldest: whoever looks for them by time reads all others. */
async function fill(database: Database): Promise<void> {
  await sql`
    insert into applications (id, pan_ciphertext, pan_index, pan_masked, monthly_income_inr, loan_amount_inr, loan_type,
      status, version, correlation_id, synthetic, created_at, event_hash)
    select gen_random_uuid(), '\\x01', int4send(case when n % 1000 = 1 then 1 else 2 + n % 5 end),
      'ABCDE***4F', 75000, 500000, (array['PERSONAL', 'HOME', 'AUTO'])[1 + n % 3],
      case when n <= 10 then 'PENDING' when n <= 20 then 'MANUAL_REVIEW' when n % 5 = 0 then 'REJECTED' else 'PRE_APPROVED' end,
      1, 'a-test', false, now() - (${applications}::integer - n) * interval '1 second', sha256('')
    from generate_series(1, ${applications}::integer) n`.execute(database.sql());
  await sql`analyze applications`.execute(database.sql());
}

const test = base.extend<{ $file: { filled: Database } }>({
  filled: [
    async ({ database }, use) => {
      await fill(database);
      await use(database);
    },
    { scope: 'file' },
  ],
});

const rarePan = Buffer.from([0, 0, 0, 1]);
const indexPan = () => ({ current: rarePan, all: [rarePan] });
const longAgo = new Date(Date.now() - (applications - 1_500) * 1_000);

test.for<[string, ApplicationFilter, number]>([
  ['all', {}, 25],
  ['those that wait', { statuses: ['PENDING'] }, 10],
  ['those that wait or are in review', { statuses: ['MANUAL_REVIEW', 'PENDING', 'PENDING'] }, 20],
  ['what is rare together with what is not', { statuses: ['PENDING', 'REJECTED', 'PRE_APPROVED'] }, 25],
  ['those of no status', { statuses: [] }, 0],
  ['those of one PAN', { panNumber: 'ABCDE1234F' }, 20],
  ['those of one PAN since then', { panNumber: 'ABCDE1234F', createdAfter: longAgo, statuses: ['PRE_APPROVED'] }, 18],
])('however many are stored, a page reads few rows: %s', async ([_what, filter, found], { filled }) => {
  const read = await inTransaction(filled, async (within) => {
    // So it looks to PostgreSQL when there are millions: to go from row to row is dear, to read all in a row is not.
    await sql`set local random_page_cost = 100`.execute(within.sql());
    const database = { ...filled, sql: within.sql };
    const list = createListApplications({ database, indexPan, count: createCountApplications(database) });
    const before = await rowsRead(within);
    const page = await list(filter, { first: 25, after: undefined }, 'newest first');
    expect(page.entries).toHaveLength(found);
    return (await rowsRead(within)) - before;
  });
  expect(read).toBeGreaterThanOrEqual(found);
  expect(read).toBeLessThanOrEqual(100);
});

/** By this session, from the table of applications. */
async function rowsRead(database: Pick<Database, 'sql'>): Promise<number> {
  const { rows } = await sql<{ read: number }>`
    select (seq_tup_read + idx_tup_fetch)::integer as read from pg_stat_xact_user_tables
    where relname = 'applications'`.execute(database.sql());
  return rows[0]?.read ?? Number.NaN;
}
