import canonicalize from 'canonicalize';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { canonical } from './canonical.ts';

test('the example of RFC 8785', () => {
  const value: unknown = JSON.parse(String.raw`{
    "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
    "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
    "literals": [null, true, false] }`);
  expect(canonical(value)).toBe(
    String.raw`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
  );
});

test('is what the reference implementation says of any value', () => {
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
      expect(canonical(value)).toBe(canonicalize(value));
    }),
    { numRuns: 1_000 },
  );
});

test.for([['a lone \ud800'], [Number.NaN], [Number.POSITIVE_INFINITY], [undefined], [{ ['\udc00']: 1 }]])(
  'has no form for %j',
  ([value]) => {
    expect(() => canonical([value])).toThrow('JSON cannot say');
  },
);
