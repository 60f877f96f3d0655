import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { submissionLimits } from './application.ts';
import { displayRupees, formatRupees, parsePaise, rupees } from './money.ts';

const anyPaise = fc.integer({ min: 1, max: submissionLimits.maxAmountPaise });

describe('an amount is read exactly, never rounded', () => {
  test.each([
    ['0.01', 1],
    ['0.1', 10],
    ['1', 100],
    ['75000', 75_000_00],
    ['75000.5', 75_000_50],
    ['75000.50', 75_000_50],
    ['75000.05', 75_000_05],
    ['0075000.00', 75_000_00],
    // Floating point knows 4.35 × 100 as 434.99999999999994.
    ['4.35', 4_35],
    ['9999999999.99', 9_999_999_999_99],
  ])('%s is %d paise', (text, paise) => {
    expect(parsePaise(text)).toBe(paise);
  });

  test.each([
    '',
    '0',
    '0.0',
    '0.00',
    '-1',
    '+1',
    '.5',
    '1.',
    '1.001',
    '0.009',
    '10000000000',
    '1e5',
    '0x10',
    '1,000',
    ' 1',
    '1 ',
    '1\n',
    '1.0\n',
    '१',
    'NaN',
    'Infinity',
  ])('%j is refused', (text) => {
    expect(parsePaise(text)).toBeUndefined();
    expect(rupees.safeParse(text).success).toBe(false);
  });
});

test('every amount survives paise to text and back', () => {
  fc.assert(
    fc.property(anyPaise, (paise) => {
      const text = formatRupees(paise);
      expect(text).toMatch(/^\d+\.\d\d$/);
      expect(parsePaise(text)).toBe(paise);
    }),
  );
});

test('what is read is the amount that was written, compared as whole numbers of paise', () => {
  fc.assert(
    fc.property(
      fc.bigInt({ min: 0n, max: 9_999_999_999n }),
      fc.integer({ min: 0, max: 2 }).chain((digits) => fc.stringMatching(new RegExp(`^[0-9]{${digits}}$`))),
      (whole, fraction) => {
        const expected = whole * 100n + BigInt(fraction.padEnd(2, '0'));
        const text = fraction === '' ? String(whole) : `${whole}.${fraction}`;
        expect(parsePaise(text)).toBe(expected === 0n ? undefined : Number(expected));
      },
    ),
  );
});

test('more than two fraction digits or ten integer digits are refused, whatever they are', () => {
  const tooFine = fc.stringMatching(/^[0-9]{1,10}\.[0-9]{3,12}$/);
  const tooLarge = fc.stringMatching(/^[0-9]{11,20}(\.[0-9]{1,2})?$/);
  fc.assert(
    fc.property(fc.oneof(tooFine, tooLarge), (text) => {
      expect(parsePaise(text)).toBeUndefined();
    }),
  );
});

describe('an amount is shown as people in India write it', () => {
  test.each([
    [1, '₹0.01'],
    [99_00, '₹99.00'],
    [1_000_00, '₹1,000.00'],
    [1_00_000_00, '₹1,00,000.00'],
    [5_00_000_00, '₹5,00,000.00'],
    [1_23_45_678_90, '₹1,23,45,678.90'],
    [submissionLimits.maxAmountPaise, '₹9,99,99,99,999.99'],
  ])('%d paise are %s', (paise, shown) => {
    expect(displayRupees(paise)).toBe(shown);
  });

  test('no digit is lost or added', () => {
    fc.assert(
      fc.property(anyPaise, (paise) => {
        expect(displayRupees(paise).replaceAll(/[₹,]/g, '')).toBe(formatRupees(paise));
      }),
    );
  });
});

describe('on the wire', () => {
  test('an amount is a decimal string and comes back the same', () => {
    fc.assert(
      fc.property(anyPaise, (paise) => {
        const wire = z.encode(rupees, paise);
        expect(wire).toBe(formatRupees(paise));
        expect(z.decode(rupees, wire)).toBe(paise);
      }),
    );
  });

  test.each([0, -1, 0.5, Number.NaN, submissionLimits.maxAmountPaise + 1])('%d paise are not written', (paise) => {
    expect(z.safeEncode(rupees, paise).success).toBe(false);
  });

  test.each([[75000], [null], [undefined], [{}]])('%j is refused: only text is exact', (value) => {
    expect(rupees.safeParse(value).success).toBe(false);
  });
});
