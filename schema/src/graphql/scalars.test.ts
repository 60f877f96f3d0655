import fc from 'fast-check';
import { type GraphQLScalarType, parseConstValue } from 'graphql';
import { describe, expect, test } from 'vitest';
import { submissionLimits } from '../application.ts';
import { formatRupees } from '../money.ts';
import { createSchema } from './index.ts';

const served = createSchema();
const decimal = served.getType('Decimal') as GraphQLScalarType<number, string>;
const dateTime = served.getType('DateTime') as GraphQLScalarType<Date, string>;

describe('Decimal', () => {
  test.each([
    ['"75000.00"', 75_000_00],
    ['"75000"', 75_000_00],
    ['75000', 75_000_00],
    ['75000.5', 75_000_50],
    ['0.01', 1],
    ['9999999999.99', 9_999_999_999_99],
  ])('the literal %s and the same as a variable are %d paise', (literal, paise) => {
    expect(decimal.parseLiteral(parseConstValue(literal))).toBe(paise);
    expect(decimal.parseValue(JSON.parse(literal))).toBe(paise);
  });

  test.each([
    '0',
    '-1',
    '"-1.00"',
    '75000.005',
    '"75000.005"',
    '10000000000',
    '1e21',
    '""',
    'true',
    'null',
    '[1]',
    '{}',
  ])('%s is refused by a fixed sentence', (literal) => {
    expect(() => decimal.parseLiteral(parseConstValue(literal))).toThrow(/^must be a rupee amount of more than 0 /);
    expect(() => decimal.parseValue(JSON.parse(literal))).toThrow(/^must be a rupee amount of more than 0 /);
  });

  test('every amount is answered with two fraction digits and can be sent back as it came', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: submissionLimits.maxAmountPaise }), (paise) => {
        const text = decimal.serialize(paise);
        expect(text).toMatch(/^\d{1,10}\.\d\d$/);
        expect(decimal.parseValue(text)).toBe(paise);
        // As a number it is exact too: twelve digits are fewer than floating point keeps.
        expect(decimal.parseValue(Number(formatRupees(paise)))).toBe(paise);
        expect(decimal.parseLiteral(parseConstValue(text))).toBe(paise);
      }),
    );
  });
});

describe('DateTime', () => {
  test.each(['"2026-01-31T09:30:00.000Z"', '"2026-01-31T09:30:00Z"'])('%s is an instant', (literal) => {
    const instant = new Date('2026-01-31T09:30:00.000Z');
    expect(dateTime.parseLiteral(parseConstValue(literal))).toEqual(instant);
    expect(dateTime.parseValue(JSON.parse(literal))).toEqual(instant);
  });

  test.each([
    '"2026-01-31"',
    '"2026-02-30T00:00:00Z"',
    '"2026-01-31T09:30:00"',
    '"2026-01-31T09:30:00+05:30"',
    '"now"',
    '1769851800000',
    'null',
    'true',
  ])('%s is refused by a fixed sentence', (literal) => {
    expect(() => dateTime.parseLiteral(parseConstValue(literal))).toThrow(/^must be an RFC 3339 instant in UTC/);
    expect(() => dateTime.parseValue(JSON.parse(literal))).toThrow(/^must be an RFC 3339 instant in UTC/);
  });

  test('every instant is answered in UTC with milliseconds and can be sent back as it came', () => {
    const instants = fc.date({ min: new Date(0), max: new Date('9999-12-31T23:59:59.999Z'), noInvalidDate: true });
    fc.assert(
      fc.property(instants, (instant) => {
        const text = dateTime.serialize(instant);
        expect(text).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
        expect(dateTime.parseValue(text)).toEqual(instant);
      }),
    );
  });
});
