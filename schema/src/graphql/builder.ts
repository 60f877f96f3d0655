import SchemaBuilder from '@pothos/core';
import type { z } from 'zod';
import type { GraphQLContext } from './context.ts';

/** The one Pothos builder; each topic file adds its types and fields to it. */
export const builder = new SchemaBuilder<{
  Context: GraphQLContext;
  DefaultFieldNullability: false;
  Scalars: {
    ID: { Input: string; Output: string };
    DateTime: { Input: Date; Output: Date };
    /** paise */
    Decimal: { Input: number; Output: number };
  };
}>({ defaultFieldNullability: false });

builder.queryType({});
builder.mutationType({});
builder.subscriptionType({});

/** Attaches a check to an input field or an argument; `checkInput` finds it there and reports what it refuses. */
export function checkedBy(check: z.ZodType<string>): { extensions: { check: z.ZodType<string> } } {
  return { extensions: { check } };
}
