import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { startPostgres } from '@prequal/local-stack';
import { type Database, inTransaction, migrate, openDatabase, sql } from '@prequal/persistence';
import type { ApplicationFilter } from '@prequal/schema/graphql';
import { createCountApplications } from '../gateway/src/count-applications.ts';
import { cursorOf } from '../gateway/src/cursor.ts';
import { createListApplications } from '../gateway/src/list-applications.ts';
import { createDecisionReader } from '../gateway/src/read-decisions.ts';
import { fillApplications, filledPanIndex } from './fill.ts';
import { percentiles } from './percentiles.ts';

/**
 * How long the lists of those behind the desk take with many applications stored, on a PostgreSQL of its own, through
 * the gateway's own functions; with the plan of each. Aim: at most 20 ms each.
 *
 *   node bench/desk-lists.ts --applications 2000000 --plans
 */
const { values } = parseArgs({
  options: { applications: { type: 'string', default: '2000000' }, plans: { type: 'boolean', default: false } },
});
const applications = Number(values.applications);
const repeats = 30;
const pageSize = 25;
const deepPage = 1_000;

const dataDir = await mkdtemp(path.join(tmpdir(), 'prequal-desk-'));
try {
  await using server = await startPostgres({ dataDir, port: 0 });
  await migrate({ databaseUrl: server.url });
  await using database = await openDatabase({
    databaseUrl: server.url,
    poolMax: 2,
    applicationName: 'bench',
    statementTimeoutMs: 30 * 60_000,
  });
  const startedAt = performance.now();
  await fillApplications(database, applications, 100);
  console.log(`${applications} applications stored in ${Math.round((performance.now() - startedAt) / 1_000)} s`);
  await time(database);
} finally {
  await rm(dataDir, { recursive: true, force: true });
}

async function time(database: Database): Promise<void> {
  const statements: Asked[] = [];
  const watched = { ...database, sql: () => recording(database, statements) };
  const indexPan = () => ({ current: filledPanIndex(7), all: [filledPanIndex(7)] });
  const list = createListApplications({ database: watched, indexPan, count: createCountApplications(watched) });
  const deep = await placeOf(database, deepPage * pageSize, 'true');
  const deepInQueue = await placeOf(database, deepPage * pageSize, `status = 'MANUAL_REVIEW'`);
  const page = (filter: ApplicationFilter, after?: string) => list(filter, { first: pageSize, after }, 'newest first');
  const queue = (after?: string) => list({ statuses: ['MANUAL_REVIEW'] }, { first: pageSize, after }, 'oldest first');
  const halfAgo = new Date(Date.now() - applications * 500);
  const decisions = createDecisionReader(watched)();
  await decisions.begin(() => 30_000);
  const asked: [string, () => Promise<unknown>][] = [
    ['applications, first page', () => page({})],
    [`applications, page ${deepPage}`, () => page({}, deep)],
    ['applications, rejected homes, first page', () => page({ statuses: ['REJECTED'], loanTypes: ['HOME'] })],
    ['applications, two statuses, first page', () => page({ statuses: ['PENDING', 'MANUAL_REVIEW'] })],
    ['applications that wait, first page', () => page({ statuses: ['PENDING'] })],
    ['applications of one PAN', () => page({ panNumber: 'ABCDE1234F' })],
    ['applications of one PAN in half of the time', () => page({ panNumber: 'ABCDE1234F', createdAfter: halfAgo })],
    ['review queue, first page', () => queue()],
    [`review queue, page ${deepPage}`, () => queue(deepInQueue)],
    ['decisions, a look by time', () => decisions.nextPage()],
  ];
  for (const [name, ask] of asked) {
    await ask();
    const tookMs: number[] = [];
    for (let repeat = 0; repeat < repeats; repeat += 1) {
      const startedAt = performance.now();
      await ask();
      tookMs.push(performance.now() - startedAt);
    }
    console.log(`${name.padEnd(45)} ${percentiles(tookMs)}`);
    if (values.plans) await explain(database, statements.at(-1));
  }
  const startedAt = performance.now();
  const { totalCount } = await page({});
  const total = await totalCount();
  const firstMs = performance.now() - startedAt;
  const againAt = performance.now();
  await (await page({})).totalCount();
  console.log(
    `totalCount of all (${total}): ${firstMs.toFixed(0)} ms the first time, then ${(performance.now() - againAt).toFixed(1)} ms with its page`,
  );
}

/** The cursor of the application after so many others, newest first. */
async function placeOf(database: Database, offset: number, where: string): Promise<string | undefined> {
  const { rows } = await sql<{ id: string; created_at: string }>`
    select id, created_at from applications where ${sql.raw(where)}
    order by created_at desc, id desc limit 1 offset ${offset}`.execute(database.sql());
  const [row] = rows;
  return row && cursorOf({ id: row.id, createdAt: new Date(row.created_at) });
}

type Session = ReturnType<Database['sql']>;
type Asked = Parameters<ReturnType<Session['getExecutor']>['compileQuery']>;

/** The session, remembering what it is asked. */
function recording(database: Database, asked: Asked[]): Session {
  return database.sql().withPlugin({
    transformQuery: ({ node, queryId }) => {
      asked.push([node, queryId]);
      return node;
    },
    transformResult: async ({ result }) => result,
  });
}

/** The plan that a session of ours has for it: made once, for whatever values come. */
async function explain(database: Database, asked: Asked | undefined): Promise<void> {
  if (asked === undefined) throw new Error('nothing was asked that could be explained');
  const { sql: text, parameters } = database
    .sql()
    .getExecutor()
    .compileQuery(...asked);
  const given = parameters.length > 0 ? `(${parameters.map((value) => `'${textOf(value)}'`).join()})` : '';
  await inTransaction(database, async (within) => {
    const run = (statement: string) => sql<{ 'QUERY PLAN': string }>`${sql.raw(statement)}`.execute(within.sql());
    await run(`prepare asked as ${text}`);
    const { rows } = await run(`explain (analyze, buffers, costs off, timing off) execute asked${given}`);
    for (const row of rows) console.log(`    ${row['QUERY PLAN']}`);
    await run('deallocate asked');
  });
}

/** As PostgreSQL reads it, whatever its type: nothing here holds a quotation mark. */
function textOf(value: unknown): string {
  if (value instanceof Date) return value.toISOString();
  if (Buffer.isBuffer(value)) return `\\x${value.toString('hex')}`;
  return Array.isArray(value) ? `{${value.map((one) => JSON.stringify(textOf(one))).join()}}` : String(value);
}
