import fc from 'fast-check';
import { expect, test } from 'vitest';
import { applicationStatuses, containsPan, isFinal, withoutPans } from './application.ts';

const withPan = [
  'ABCDE1234F',
  'ABCDE 1234 F',
  'ABCDE-1234-F',
  'ＡＢＣＤＥ1234Ｆ',
  'abcde1234f',
  'my PAN is ABCDE1234F.',
  'xABCDE1234Fx',
  'order-abcde1234f',
  'Asha/AbCdE1234f',
];

test.each(withPan)('a PAN is found in %j', (text) => expect(containsPan(text)).toBe(true));

test.each(withPan)('a PAN is taken out of %j, and nothing is left to be found', (text) => {
  expect(withoutPans(text)).toContain('[PAN]');
  expect(containsPan(withoutPans(text))).toBe(false);
});

test('whatever a JSON text holds, it is without PANs and still JSON afterwards', () => {
  const piece = fc.oneof(fc.constantFrom(...withPan, '＂', '"', '\\', '🙂', ' ', '-'), fc.string({ unit: 'binary' }));
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      const clean = withoutPans(JSON.stringify({ a: pieces.join('') }));
      expect(containsPan(clean)).toBe(false);
      expect(Object.keys(JSON.parse(clean))).toEqual(['a']);
    }),
  );
});

test.each(['Asha', 'ABCD1234F', 'ABCDE123F', 'ABCDE12345', '0abcde1234f0', '', '01a20bd0-2bcd-76fe-b241-efee967653e7'])(
  'no PAN is seen in %j',
  (text) => expect(containsPan(text)).toBe(false),
);

test('only PRE_APPROVED and REJECTED are final', () => {
  expect(applicationStatuses.filter(isFinal)).toEqual(['PRE_APPROVED', 'REJECTED']);
});
