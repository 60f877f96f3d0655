import type { KeyedDigests } from '@prequal/pan';
import { type Database, sql } from '@prequal/persistence';
import type { Application } from '@prequal/schema';
import type { ApplicationFilter, Page, PageRequest } from '@prequal/schema/graphql';
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
    const conditions = conditionsOf(filter, indexPan);
    const place = placeOf(after);
    const beyond = place ? [isBeyond(place, order)] : [];
    const direction = order === 'newest first' ? sql`desc` : sql`asc`;
    // One more than asked for tells whether there is another page.
    const part = sql`order by a.created_at ${direction}, a.id ${direction} limit ${first + 1}`;
    const where = allOf([...conditions, ...beyond]);
    // Of each status for itself, in the order of its index: what is rare is not looked for among all others.
    const { rows } = await (filter.statuses
      ? sql<ApplicationRow>`
          select a.* from unnest(${[...new Set(filter.statuses)]}::text[]) as s (status)
          cross join lateral (select ${applicationColumns} from applications a where a.status = s.status and ${where} ${part}) a
          ${part}`
      : sql<ApplicationRow>`select ${applicationColumns} from applications a where ${where} ${part}`
    ).execute(database.sql());
    const entries = rows.slice(0, first).map((row) => {
      const node = toApplication(row);
      return { cursor: cursorOf(node), node };
    });
    return {
      entries,
      hasNextPage: rows.length > first,
      hasPreviousPage: after !== undefined,
      totalCount: () => count(allOf([...conditions, ...statusesOf(filter)]), filter),
    };
  };
}

export type ListApplications = ReturnType<typeof createListApplications>;

type Condition = ReturnType<typeof sql>;

export function conditionsOf(filter: ApplicationFilter, indexPan: ListDeps['indexPan']): Condition[] {
  const { loanTypes, createdAfter, createdBefore, panNumber } = filter;
  const conditions = [sql`not a.synthetic`];
  if (loanTypes) conditions.push(sql`a.loan_type = any(${[...loanTypes]}::text[])`);
  if (createdAfter) conditions.push(sql`a.created_at > ${createdAfter.toISOString()}::timestamptz`);
  if (createdBefore) conditions.push(sql`a.created_at < ${createdBefore.toISOString()}::timestamptz`);
  // While the index key is being rotated a PAN has two indexes.
  if (panNumber) conditions.push(sql`a.pan_index = any(${indexPan(panNumber).all}::bytea[])`);
  return conditions;
}

export function statusesOf({ statuses }: ApplicationFilter): Condition[] {
  return statuses ? [sql`a.status = any(${[...statuses]}::text[])`] : [];
}

export function allOf(conditions: readonly Condition[]): Condition {
  return sql.join(conditions, sql` and `);
}

export function isBeyond({ createdAt, id }: Place, order: Order): Condition {
  const comparison = order === 'newest first' ? sql`<` : sql`>`;
  return sql`(a.created_at, a.id) ${comparison} (${createdAt}::timestamptz, ${id}::uuid)`;
}
