import { createSchema } from '@prequal/schema/graphql';
import { getIntrospectionQuery, parse } from 'graphql';
import { describe, expect, test, vi } from 'vitest';
import { type DocumentLimits, documentRefusal } from './document-limits.ts';

const schema = createSchema();
const none: DocumentLimits = {
  depth: 1e9,
  fields: 1e9,
  aliases: 1e9,
  directives: 1e9,
  spreads: 1e9,
  cost: 1e9,
};

const refusal = (query: string, limits: Partial<DocumentLimits>) =>
  documentRefusal(schema, parse(query), { ...none, ...limits })?.extensions;

const reasons = '{ application(id: "x") { history { reasons { code } } } }';

describe('each limit admits what is at it and refuses what is one above', () => {
  test.each<[string, string, keyof DocumentLimits, number]>([
    ['levels', reasons, 'depth', 4],
    ['fields', '{ __typename application(id: "x") { id status } }', 'fields', 4],
    ['fields of a fragment, each time it is spread', '{ ...A ...A } fragment A on Query { __typename }', 'fields', 2],
    ['aliases', '{ a: __typename b: __typename }', 'aliases', 2],
    ['aliases in fragments', '{ ...A ...A } fragment A on Query { a: __typename }', 'aliases', 2],
    ['directives of fields', '{ __typename @skip(if: false) @include(if: true) }', 'directives', 2],
    ['directives of operations and variables', 'query ($a: ID @a) @b { __typename }', 'directives', 2],
    [
      'directives of fragments',
      '{ ...A @b ... @c { __typename } } fragment A on Query @a { __typename }',
      'directives',
      3,
    ],
    ['spreads', '{ ...A } fragment A on Query { ...B ...B } fragment B on Query { __typename }', 'spreads', 3],
    // application + history + ten times (reasons + ten times code)
    ['what lists multiply', reasons, 'cost', 2 + 10 * (1 + 10)],
    ['every operation', 'query A { __typename } query B { __typename }', 'fields', 2],
    ['fragments that nobody spreads', '{ __typename } fragment A on Query { __typename }', 'fields', 2],
    ['unknown fields', '{ nothing { at { all } } }', 'depth', 3],
  ])('%s', (_what, query, limit, measured) => {
    expect(refusal(query, { [limit]: measured })).toBeUndefined();
    expect(refusal(query, { [limit]: measured - 1 })).toEqual({ code: 'QUERY_TOO_COMPLEX', limit, max: measured - 1 });
  });
});

test('a ladder of fragments that unfolds to 2^100 fields is measured rung by rung', () => {
  const steps = Array.from(
    { length: 100 },
    (_, step) => `fragment F${step} on Query { ...F${step + 1} ...F${step + 1} }`,
  );
  const document = parse(`{ ...F0 } ${steps.join(' ')} fragment F100 on Query { __typename }`);
  using looks = vi.spyOn(schema, 'getType');
  expect(documentRefusal(schema, document, { ...none, fields: 500 })?.extensions['code']).toBe('QUERY_TOO_COMPLEX');
  expect(looks).toHaveBeenCalledTimes(101);
});

test.each(['fragment A on Query { ...A }', 'fragment A on Query { ...B } fragment B on Query { __typename ...A }'])(
  'a fragment that contains itself is refused: %s',
  (fragments) => {
    expect(refusal(`{ ...A } ${fragments}`, {})).toEqual({ code: 'GRAPHQL_VALIDATION_FAILED' });
    expect(refusal(`{ __typename } ${fragments}`, {})).toEqual({ code: 'GRAPHQL_VALIDATION_FAILED' });
  },
);

test('the question that GraphiQL asks about the schema is admitted', () => {
  const full = getIntrospectionQuery({
    descriptions: true,
    specifiedByUrl: true,
    directiveIsRepeatable: true,
    schemaDescription: true,
    inputValueDeprecation: true,
    oneOf: true,
  });
  const limits = { depth: 10, fields: 250, aliases: 30, directives: 30, spreads: 100, cost: 5_000 };
  expect(refusal(full, limits)).toBeUndefined();
});
