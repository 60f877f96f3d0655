import { startGateway } from '@prequal/gateway';
import { describe, expect } from 'vitest';
import { failureOf, transports, unknownId } from './edge.ts';
import { test as base } from './stack.ts';

const limits = {
  GATEWAY_MAX_DOCUMENT_CHARS: 600,
  GATEWAY_MAX_DOCUMENT_TOKENS: 100,
  GATEWAY_MAX_DOCUMENT_DEPTH: 6,
  GATEWAY_MAX_DOCUMENT_FIELDS: 12,
  GATEWAY_MAX_DOCUMENT_ALIASES: 3,
  GATEWAY_MAX_DOCUMENT_DIRECTIVES: 3,
  GATEWAY_MAX_DOCUMENT_SPREADS: 3,
  GATEWAY_MAX_DOCUMENT_COST: 20,
  GATEWAY_MAX_VARIABLES_CHARS: 120,
  GATEWAY_MAX_VARIABLES_DEPTH: 3,
  GATEWAY_MAX_VARIABLES_LIST: 4,
};

const test = base.extend<{ $file: { url: string } }>({
  url: [
    async ({ stack }, use) => {
      const asText = Object.fromEntries(Object.entries(limits).map(([name, value]) => [name, String(value)]));
      await using gateway = await startGateway({ ...stack.envOf('gateway'), ...asText });
      await use(gateway.url);
    },
    { scope: 'file' },
  ],
});

/** An operation of the transport's kind with this below an application; what it has itself. */
const around = {
  http: { begin: `query Q { application(id: "${unknownId}") { `, own: 1 },
  ws: { begin: `subscription Q { applicationStatus(id: "${unknownId}") { application { `, own: 2 },
  sse: { begin: `subscription Q { applicationStatus(id: "${unknownId}") { application { `, own: 2 },
};

const many = (count: number, text: string) => `${text} `.repeat(count);
const fragment = ' fragment F on Application { id }';

describe.each(transports)('over %s', (transport) => {
  const { begin, own } = around[transport];
  const document = (body: string, after = '') => `${begin}${body}${' }'.repeat(own + 1)}${after}`;
  const padded = (chars: number) => document('id').padEnd(chars, ' ');
  // Punctuation counts: two ends a level, and the end of the document.
  const tokensOf = (text: string) => text.match(/[A-Za-z]\w*|"[^"]*"|[{}():]/g)?.length ?? 0;
  const withTokens = (tokens: number) => document(many(tokens - tokensOf(document('')), 'id'));
  const nested = (levels: number) => document(`${many(levels - own - 1, 'at {')}id${' }'.repeat(levels - own - 1)}`);

  test.for<[string, number, (amount: number) => string]>([
    ['characters', limits.GATEWAY_MAX_DOCUMENT_CHARS, padded],
    ['depth', limits.GATEWAY_MAX_DOCUMENT_DEPTH, (levels) => nested(levels)],
    ['fields', limits.GATEWAY_MAX_DOCUMENT_FIELDS, (fields) => document(many(fields - own, 'id'))],
    ['aliases', limits.GATEWAY_MAX_DOCUMENT_ALIASES, (aliases) => document(many(aliases, 'a: id'))],
    [
      'directives',
      limits.GATEWAY_MAX_DOCUMENT_DIRECTIVES,
      (count) => document(`id ${many(count, '@skip(if: false)')}`),
    ],
    ['spreads', limits.GATEWAY_MAX_DOCUMENT_SPREADS, (spreads) => document(many(spreads, '...F'), fragment)],
    // history costs 1, and 10 for each field of its items
    [
      'cost',
      limits.GATEWAY_MAX_DOCUMENT_COST,
      (cost) => document(`history { version } ${many(cost - own - 11, 'id')}`),
    ],
  ])('a document is run at its limit of %s and refused beyond', async ([limit, max, build], { url }) => {
    const allowed = await failureOf(url, transport, build(max));
    expect(allowed?.extensions['limit']).toBeUndefined();
    expect(allowed?.extensions['code'] ?? 'NOT_FOUND').toMatch(/^(NOT_FOUND|GRAPHQL_VALIDATION_FAILED)$/);
    const refused = await failureOf(url, transport, build(max + 1));
    expect(refused?.extensions).toEqual({ code: 'QUERY_TOO_COMPLEX', limit, max });
    expect(refused?.message).toMatch(/Ask for less/);
  });

  test('and likewise at its limit of tokens', async ({ url }) => {
    const max = limits.GATEWAY_MAX_DOCUMENT_TOKENS;
    // Beyond the limit of fields, which is looked at after that of tokens.
    expect((await failureOf(url, transport, withTokens(max)))?.extensions['limit']).toBe('fields');
    expect((await failureOf(url, transport, withTokens(max + 1)))?.extensions).toEqual({
      code: 'QUERY_TOO_COMPLEX',
      limit: 'tokens',
      max,
    });
  });

  const deep = (levels: number): unknown => (levels === 0 ? 1 : { a: deep(levels - 1) });

  test.for<[string, number, (amount: number) => unknown]>([
    // with the variable's name
    ['chars', limits.GATEWAY_MAX_VARIABLES_CHARS, (chars) => 'x'.repeat(chars - 2)],
    ['depth', limits.GATEWAY_MAX_VARIABLES_DEPTH, deep],
    ['list', limits.GATEWAY_MAX_VARIABLES_LIST, (items) => Array.from({ length: items }, () => 1)],
  ])('variables are taken at their limit of %s and refused beyond', async ([limit, max, build], { url }) => {
    const operation = document('id');
    expect((await failureOf(url, transport, operation, { v: build(max) }))?.extensions['limit']).toBeUndefined();
    expect((await failureOf(url, transport, operation, { v: build(max + 1) }))?.extensions).toEqual({
      code: 'VARIABLES_TOO_LARGE',
      limit,
      max,
    });
  });

  test('a ladder of fragments of 6 KB does not hold up anybody else', async ({ stack }) => {
    await using gateway = await startGateway(stack.envOf('gateway'));
    const steps = Array.from({ length: 130 }, (_, n) => `fragment F${n} on Application { ...F${n + 1} ...F${n + 1} }`);
    const ladder = document('...F0', ` ${steps.join(' ')} fragment F130 on Application { id }`);
    expect(ladder.length).toBeGreaterThan(6_000);
    const begunAt = performance.now();
    const refused = await failureOf(gateway.url, transport, ladder);
    expect(refused?.extensions['code']).toBe('QUERY_TOO_COMPLEX');
    expect(performance.now() - begunAt).toBeLessThan(500);
  });
});

test('a refusal reads the same on every transport', async ({ url }) => {
  const refusals = await Promise.all(
    transports.map((transport) => failureOf(url, transport, 'x'.repeat(limits.GATEWAY_MAX_DOCUMENT_CHARS + 1))),
  );
  expect(new Set(refusals.map((refusal) => refusal?.message)).size).toBe(1);
});
