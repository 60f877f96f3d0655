import { test } from '@prequal/testing';
import { expect } from 'vitest';
import { sql } from './database.ts';
import { jsonLines } from './json-lines.ts';

test('each text of JSON arrives as it is, in its place', async ({ database }) => {
  const awkward = JSON.stringify({ a: 'line\nbreak, "quoted", \\n, {braces}, NULL, ₹ 😀\r\u2028' });
  const texts = ['{}', null, awkward, null, '"after"', 'null'];
  const { rows } = await sql<{ texts: (string | null)[] }>`select ${jsonLines(texts)} as texts`.execute(database.sql());
  expect(rows).toEqual([{ texts }]);
  const read = await sql<{ value: unknown }>`
    select value::jsonb from unnest(${jsonLines(texts)}) with ordinality as t (value, place) order by place`.execute(
    database.sql(),
  );
  expect(read.rows.map(({ value }) => value)).toEqual([{}, null, JSON.parse(awkward), null, 'after', null]);
});

test('a single text that is missing leaves the columns beside it as they are', async ({ database }) => {
  const { rows } = await sql`select * from unnest(${['a']}::text[], ${jsonLines([null])}) as t (one, other)`.execute(
    database.sql(),
  );
  expect(rows).toEqual([{ one: 'a', other: null }]);
});

test('a text of several lines would move all that follow, and is refused', () => {
  expect(() => jsonLines(['{}', '{\n}'])).toThrow('line break');
});
