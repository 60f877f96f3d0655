import { expect, test } from 'vitest';
import { applicationStatuses, containsPan, isFinal } from './application.ts';

test.each([
  'ABCDE1234F',
  'ABCDE 1234 F',
  'ABCDE-1234-F',
  'ＡＢＣＤＥ1234Ｆ',
  'abcde1234f',
  'my PAN is ABCDE1234F.',
  'xABCDE1234Fx',
  'order-abcde1234f',
  'Asha/AbCdE1234f',
])('a PAN is found in %j', (text) => expect(containsPan(text)).toBe(true));

test.each(['Asha', 'ABCD1234F', 'ABCDE123F', 'ABCDE12345', '0abcde1234f0', '', '01a20bd0-2bcd-76fe-b241-efee967653e7'])(
  'no PAN is seen in %j',
  (text) => expect(containsPan(text)).toBe(false),
);

test('only PRE_APPROVED and REJECTED are final', () => {
  expect(applicationStatuses.filter(isFinal)).toEqual(['PRE_APPROVED', 'REJECTED']);
});
