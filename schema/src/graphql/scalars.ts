import { GraphQLError, Kind } from 'graphql';
import { z } from 'zod';
import { formatRupees, parsePaise } from '../money.ts';
import { builder } from './builder.ts';

const decimalRule =
  'must be a rupee amount of more than 0 with at most ten integer and two fraction digits, e.g. "75000.00"';

// A JSON number arrives as the shortest text that names it, so 75000.005 is seen with all its digits and refused.
function decimal(value: unknown): number {
  const paise = typeof value === 'string' || typeof value === 'number' ? parsePaise(String(value)) : undefined;
  if (paise === undefined) throw new GraphQLError(decimalRule);
  return paise;
}

builder.scalarType('Decimal', {
  description: [
    'Rupee amount as an exact decimal string with two fraction digits, e.g. "75000.00".',
    'Input also takes an Int or Float literal or JSON number. More than two fraction digits, more than ten',
    'integer digits, zero and negatives are refused, never rounded.',
  ].join('\n'),
  serialize: formatRupees,
  parseValue: decimal,
  parseLiteral: (node) =>
    decimal(node.kind === Kind.STRING || node.kind === Kind.INT || node.kind === Kind.FLOAT ? node.value : undefined),
});

const instant = z.iso.datetime();

function dateTime(value: unknown): Date {
  const parsed = instant.safeParse(value);
  if (!parsed.success) throw new GraphQLError('must be an RFC 3339 instant in UTC, e.g. "2026-01-31T09:30:00.000Z"');
  return new Date(parsed.data);
}

builder.scalarType('DateTime', {
  description: 'RFC 3339 instant in UTC, e.g. 2026-01-31T09:30:00.000Z',
  serialize: (date) => date.toISOString(),
  parseValue: dateTime,
  parseLiteral: (node) => dateTime(node.kind === Kind.STRING ? node.value : undefined),
});
