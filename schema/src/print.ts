import { writeFileSync } from 'node:fs';
import { lexicographicSortSchema, printSchema } from 'graphql';
import { createSchema } from './graphql/index.ts';

/** The committed `schema/schema.graphql`: the served schema in SDL, sorted so that a diff shows only what changed. */
export const printedSchemaFile = new URL('../schema.graphql', import.meta.url);

/** The served schema as text, as `schema.graphql` must hold it. */
export function printServedSchema(): string {
  return `${printSchema(lexicographicSortSchema(createSchema()))}\n`;
}

if (import.meta.main) writeFileSync(printedSchemaFile, printServedSchema());
