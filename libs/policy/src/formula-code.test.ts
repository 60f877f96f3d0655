import { evaluateExpression } from '@gorules/zen-engine';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { codeOf, hasLooseRange } from './formula-code.ts';

test.each([
  ["a == 'b' or c", "a == '' or c"],
  ['a == "it\'s `x`" + b', "a == '' + b"],
  ["`It isn't ${a / 48} but ${floor(7)}.`", "''(a / 48)(floor(7))"],
  ["`x ${'}' + b} y` + '`' + c", "''('' + b) + '' + c"],
  ['`$ } ${a}` + {b: 1}', "''(a) + {b: 1}"],
  ["a + 'never ends", "a + ''"],
])('of %s is worked out %s', (formula, code) => {
  expect(codeOf(formula)).toBe(code);
});

/** True when the engine can read this, whatever comes out. */
async function isReadable(formula: string): Promise<boolean> {
  return evaluateExpression(`type((${formula}))`, {}).then(
    () => true,
    (error: unknown) => !/"type":"(?:lexer|parser|compiler)Error"/.test(String(error)),
  );
}

test('what is worked out is what the engine works out, however the quotes stand', async () => {
  const known = 'abs(1)';
  const quotes = fc.constantFrom("'", '"', '`', '${', '}', '{', '$');
  const part = fc.oneof(
    fc.constantFrom(known, `${known}+`, `+${known}`, '+', ' ', 'a', `'${known}'`, `\`${known}`, '`${', '}`'),
    quotes,
  );
  const formulas = fc
    .tuple(fc.array(part, { maxLength: 7 }), fc.array(part, { maxLength: 7 }))
    .map(([before, after]) => ({ before: before.join(''), after: after.join('') }));
  const tried = { code: 0, text: 0 };
  await fc.assert(
    fc.asyncProperty(formulas, async ({ before, after }) => {
      if (!(await isReadable(`${before}${known}${after}`))) return;
      // Where it is code, a function that does not exist cannot be read.
      const unknown = `${before}unknown(1)${after}`;
      const isCode = !(await isReadable(unknown));
      tried[isCode ? 'code' : 'text'] += 1;
      expect(codeOf(unknown).includes('unknown(1)'), unknown).toBe(isCode);
    }),
    // Few of what chance makes can be read: about one in two hundred is a text.
    { numRuns: 16_000 },
  );
  expect(Math.min(tried.code, tried.text)).toBeGreaterThan(20);
});

describe('a range may be written out as a list', () => {
  test.each([
    ['[1..3000000]'],
    ['(1..3000000)'],
    ['map([1..3000000], #)'],
    ['score in map([1..3000000], #)'],
    ['score in [len(map([1..9], #))..900]'],
    ['score in ([600..749])'],
    ['a.in == 1 ? [1..9] : 0'],
    ['begin [1..9]'],
    ['{ a: [1 .. 9] }'],
    [']1..9['],
  ])('in %s', (code) => {
    expect([hasLooseRange(code, false), hasLooseRange(`> ${code}`, true)]).toEqual([true, true]);
  });

  test.each([['a = [1..9]; len(map(a, #)) == 3'], ['> sum(map([1..9], #))'], ['([1..9])'], ['true ? [1..9] : 1']])(
    'in the cell %s',
    (code) => {
      expect(hasLooseRange(code, true)).toBe(true);
    },
  );

  test.each([
    ['score in [600..749]'],
    ['score not in (600 .. limit[0]) and a'],
    ['some(a, # in [1..2])'],
    ['a.b[0] + 1.5'],
  ])('and not in %s', (code) => {
    expect(hasLooseRange(code, false)).toBe(false);
  });

  test.each([['[600..749]'], ['(600..749], [800..limit)'], ['> 600 and [600..749]'], ['$ in [600..749]']])(
    'nor in the cell %s',
    (code) => {
      expect([hasLooseRange(code, true), hasLooseRange(code, false)]).toEqual([false, !code.startsWith('$')]);
    },
  );
});

test('the engine compares with the ends of a range without writing it out', async () => {
  const startedAt = performance.now();
  expect(await evaluateExpression('score in [1..9000000000000]', { score: 700 })).toBe(true);
  expect(performance.now() - startedAt).toBeLessThan(1_000);
});
