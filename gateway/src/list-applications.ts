import type { KeyedDigests } from '@prequal/pan';
import { type Database, sql } from '@prequal/persistence';
import { type Application, applicationStatuses } from '@prequal/schema';
import { type ApplicationFilter, maxPageSize, type Page, type PageRequest } from '@prequal/schema/graphql';
import type { CountApplications } from './count-applications.ts';
import { cursorOf, type Place, placeOf } from './cursor.ts';
import { type ApplicationRow, applicationColumns, toApplication } from './read-application.ts';

export type ListDeps = {
  database: Database;
  indexPan: (pan: string) => KeyedDigests;
  count: CountApplications;
};

type Order = 'newest first' | 'oldest first';

/** Lists applications by cursor. Tests of the system itself are in no list. */
export function createListApplications({ database, indexPan, count }: ListDeps) {
  return async (filter: ApplicationFilter, { first, after }: PageRequest, order: Order): Promise<Page<Application>> => {
    const conditions = conditionsOf(filter);
    const source = sourceOf(filter, indexPan);
    const place = placeOf(after);
    const where = allOf([...conditions, ...(place ? [isBeyond(place, order)] : [])]);
    const direction = order === 'newest first' ? sql`desc` : sql`asc`;
    const ordered = sql`order by a.created_at ${direction}, a.id ${direction}`;
    // One more than the largest page tells whether there is another. The outer limit ends it earlier.
    const parts = partsOf(filter).map(
      (part) => sql`(select ${applicationColumns} from ${source} where ${part} and ${where} ${ordered}
        limit ${sql.lit(maxPageSize + 1)})`,
    );
    const { rows } = await sql<ApplicationRow>`
      select * from (${sql.join(parts, sql` union all `)}) a ${ordered} limit ${first + 1}`.execute(database.sql());
    const entries = rows.slice(0, first).map((row) => {
      const node = toApplication(row);
      return { cursor: cursorOf(node), node };
    });
    return {
      entries,
      hasNextPage: rows.length > first,
      hasPreviousPage: after !== undefined,
      totalCount: () => count(source, allOf([...conditions, ...statusesOf(filter)]), filter),
    };
  };
}

export type ListApplications = ReturnType<typeof createListApplications>;

type Sql = ReturnType<typeof sql>;

/**
 * The applications `a` that a filter chooses from. Those of one PAN are found by its index and then looked at: `offset 0`
 * keeps PostgreSQL from reading all that were created in the same months instead; of digests it has no samples that would.
 */
export function sourceOf({ panNumber }: ApplicationFilter, indexPan: ListDeps['indexPan']): Sql {
  if (panNumber === undefined) return sql`applications a`;
  // While the index key is being rotated a PAN has two indexes.
  return sql`(select ${applicationColumns}, a.synthetic from applications a
    where a.pan_index = any(${indexPan(panNumber).all}::bytea[]) offset 0) a`;
}

export function conditionsOf(filter: ApplicationFilter): Sql[] {
  const { loanTypes, createdAfter, createdBefore } = filter;
  const conditions = [sql`not a.synthetic`];
  if (loanTypes) conditions.push(sql`a.loan_type = any(${[...loanTypes]}::text[])`);
  if (createdAfter) conditions.push(sql`a.created_at > ${createdAfter.toISOString()}::timestamptz`);
  if (createdBefore) conditions.push(sql`a.created_at < ${createdBefore.toISOString()}::timestamptz`);
  return conditions;
}

export function statusesOf({ statuses }: ApplicationFilter): Sql[] {
  return statuses ? [sql`a.status = any(${[...statuses]}::text[])`] : [];
}

/**
 * A page of each status for itself, in the order of its index: what is rare is not looked for among all others. They
 * stand in the text and are no parameters, since a statement is planned once and PostgreSQL must see then whether a
 * status is rare; each once and in one order, so that there are few different statements.
 */
function partsOf(filter: ApplicationFilter): Sql[] {
  const { statuses, panNumber } = filter;
  if (statuses === undefined || panNumber !== undefined) return [allOf([sql`true`, ...statusesOf(filter)])];
  if (statuses.length === 0) return [sql`false`];
  return applicationStatuses.filter((one) => statuses.includes(one)).map((one) => sql`a.status = ${sql.lit(one)}`);
}

export function allOf(conditions: readonly Sql[]): Sql {
  return sql.join(conditions, sql` and `);
}

export function isBeyond({ createdAt, id }: Place, order: Order): Sql {
  const comparison = order === 'newest first' ? sql`<` : sql`>`;
  return sql`(a.created_at, a.id) ${comparison} (${createdAt}::timestamptz, ${id}::uuid)`;
}
