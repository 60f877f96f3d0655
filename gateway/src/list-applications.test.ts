import { type Database, inTransaction, sql } from '@prequal/persistence';
import type { ApplicationStatus, LoanType } from '@prequal/schema';
import type { ApplicationFilter } from '@prequal/schema/graphql';
import { test as base } from '@prequal/testing';
import { describe, expect } from 'vitest';
import { createCountApplications } from './count-applications.ts';
import { createListApplications } from './list-applications.ts';

const applications = 20_000;

/**
 * Forty of one PAN, under two keys, and thousands of each other; two are created at a time, and those that wait are the
 * oldest: whoever looks for them by time reads all others.
 */
async function fill(database: Database): Promise<void> {
  await sql`
    insert into applications (id, pan_ciphertext, pan_index, pan_masked, monthly_income_inr, loan_amount_inr, loan_type,
      status, version, correlation_id, synthetic, created_at, event_hash)
    select gen_random_uuid(), '\\x01', int4send(case n % 1000 when 1 then 1 when 2 then 2 else 3 + n % 5 end),
      'ABCDE***4F', 75000, 500000, (array['PERSONAL', 'HOME', 'AUTO'])[1 + n % 3],
      case when n <= 10 then 'PENDING' when n <= 20 then 'MANUAL_REVIEW' when n % 5 = 0 then 'REJECTED' else 'PRE_APPROVED' end,
      1, 'a-test', n % 100 = 50, now() - (${applications}::integer - n / 2) * interval '1 second', sha256('')
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

const panIndexes = [Buffer.from([0, 0, 0, 1]), Buffer.from([0, 0, 0, 2])];
const indexPan = () => ({ current: Buffer.from([0, 0, 0, 1]), all: panIndexes });
const since = new Date(Date.now() - (applications - 1_500) * 1_000);

test.for<[string, ApplicationFilter, number]>([
  ['all', {}, 25],
  ['those that wait', { statuses: ['PENDING'] }, 10],
  ['those that wait or are in review', { statuses: ['MANUAL_REVIEW', 'PENDING', 'PENDING'] }, 20],
  ['what is rare together with what is not', { statuses: ['PENDING', 'REJECTED', 'PRE_APPROVED'] }, 25],
  ['those of no status', { statuses: [] }, 0],
  ['those of one PAN', { panNumber: 'ABCDE1234F' }, 25],
  ['those of one PAN since then', { panNumber: 'ABCDE1234F', createdAfter: since, statuses: ['PRE_APPROVED'] }, 25],
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

const filters: [string, ApplicationFilter][] = [
  ['all', {}],
  ['one status', { statuses: ['PRE_APPROVED'] }],
  ['two statuses', { statuses: ['REJECTED', 'PENDING'] }],
  ['two that end with the third page', { statuses: ['MANUAL_REVIEW', 'PENDING', 'PENDING'] }],
  ['no status', { statuses: [] }],
  ['two loan types since then', { loanTypes: ['HOME', 'AUTO'], createdAfter: since }],
  ['all of it', { statuses: ['REJECTED', 'PRE_APPROVED'], loanTypes: ['HOME'], createdBefore: since }],
  ['one PAN under two keys', { panNumber: 'ABCDE1234F' }],
  ['a status of one PAN', { panNumber: 'ABCDE1234F', statuses: ['PENDING', 'PRE_APPROVED'], createdAfter: since }],
];

describe.for(filters)('with %s', ([_what, filter]) => {
  test.for([
    ['newest first', 7],
    ['oldest first', 7],
    ['newest first', 100],
    ['oldest first', 100],
  ] as const)('the first three pages and the count, %s, %d to a page', async ([order, first], { filled }) => {
    const stored = (await readAll(filled)).filter((row) => matches(filter, row));
    const expected = (order === 'newest first' ? stored.toReversed() : stored).map(({ id }) => id);
    const list = createListApplications({ database: filled, indexPan, count: createCountApplications(filled) });
    let after: string | undefined;
    for (let from = 0; from < 3 * first; from += first) {
      const page = await list(filter, { first, after }, order);
      expect(page.entries.map(({ node }) => node.id)).toEqual(expected.slice(from, from + first));
      expect(page.hasNextPage).toBe(expected.length > from + first);
      expect(await page.totalCount()).toBe(expected.length);
      after = page.entries.at(-1)?.cursor;
      if (after === undefined) break;
    }
  });
});

type Row = {
  id: string;
  status: ApplicationStatus;
  loan_type: LoanType;
  synthetic: boolean;
  created: number;
  pan_index: Buffer;
};

/** Oldest first. */
async function readAll(database: Database): Promise<Row[]> {
  const { rows } = await sql<Row>`
    select id, status, loan_type, synthetic, extract(epoch from created_at)::float8 * 1000 as created, pan_index
    from applications order by created_at, id`.execute(database.sql());
  return rows;
}

function matches(
  { statuses, loanTypes, createdAfter, createdBefore, panNumber }: ApplicationFilter,
  row: Row,
): boolean {
  return (
    !row.synthetic &&
    (statuses?.includes(row.status) ?? true) &&
    (loanTypes?.includes(row.loan_type) ?? true) &&
    row.created > (createdAfter?.getTime() ?? Number.NEGATIVE_INFINITY) &&
    row.created < (createdBefore?.getTime() ?? Number.POSITIVE_INFINITY) &&
    (panNumber === undefined || panIndexes.some((index) => index.equals(row.pan_index)))
  );
}

/** By this session, from the table of applications. */
async function rowsRead(database: Pick<Database, 'sql'>): Promise<number> {
  const { rows } = await sql<{ read: number }>`
    select (seq_tup_read + idx_tup_fetch)::integer as read from pg_stat_xact_user_tables
    where relname = 'applications'`.execute(database.sql());
  return rows[0]?.read ?? Number.NaN;
}
