import { CompiledQuery } from 'kysely';
import type { Database } from './database.ts';

/** What libraries that write their own statements expect of a PostgreSQL client. */
export type StatementClient = {
  query: (statement: { text: string; values?: unknown[] }) => Promise<{ rows: unknown[]; rowCount: number }>;
};

/** The pool as such a client: parameters stay bound, and no second pool is opened. Throws what the database throws. */
export function statementClient(database: Pick<Database, 'sql'>): StatementClient {
  return {
    query: async ({ text, values = [] }) => {
      const { rows, numAffectedRows } = await database.sql().executeQuery(CompiledQuery.raw(text, values));
      return { rows, rowCount: rows.length || Number(numAffectedRows ?? 0) };
    },
  };
}
