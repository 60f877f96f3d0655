import { displayRupees, loanTypes, submissionLimits } from '@prequal/schema';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { loadPolicy } from './load-policy.ts';
import { policyHash } from './policy-hash.ts';
import { seedWith } from './seed-with.fixture.ts';
import { shippedPolicies } from './shipped.ts';
import { PolicyFaultError } from './verdict.ts';

const { maxAmountPaise } = submissionLimits;
const [seed, foir] = shippedPolicies().map(({ document }) => document);
const anyPaise = fc.oneof(fc.integer({ min: 1, max: maxAmountPaise }), fc.integer({ min: 1, max: 10_00_000_00 }));
const sentence = { 'reasons-message': "'So it is.'" };
const rich = { score: 790, monthlyIncomePaise: 80_000_00, loanAmountPaise: 5_00_000_00, loanType: 'HOME' } as const;

describe('the hash of a policy', () => {
  test('does not change with white space and the order of keys', () => {
    const reordered = JSON.stringify(JSON.parse(seed ?? ''), (_key, value) =>
      value?.constructor === Object ? Object.fromEntries(Object.entries(value).toReversed()) : value,
    );
    expect(policyHash(reordered)).toBe(policyHash(seed ?? ''));
    expect(policyHash(reordered)).toBe(loadPolicy(seed ?? '').hash);
  });

  test('changes with a digit', () => {
    expect(policyHash(seedWith({ 'figures-minimum-score': { value: '651' } }))).not.toBe(policyHash(seed ?? ''));
  });

  // Worked out by another program. A shipped document that changes needs a new version: decisions carry its hash.
  test('is the SHA-256 of the canonical document, and what is shipped has not changed', () => {
    expect(policyHash(seed ?? '')).toBe('5b1724033cf13421ca6c0403030bc85e6fca8d138a17d5394ff33b0f6d708b98');
    expect(policyHash(foir ?? '')).toBe('541e5ec570632d71e4f1afb0f55c60210892885a18e3438d1820354d48dcd682');
  });
});

test('a policy knows the reasons that it declares', () => {
  expect(loadPolicy(seed ?? '').reasonCodes).toEqual([
    'NO_CREDIT_HISTORY',
    'SCORE_BELOW_MINIMUM',
    'SCORE_SUFFICIENT',
    'INCOME_SUFFICIENT',
    'INCOME_INSUFFICIENT',
  ]);
});

describe('foir-1', () => {
  const { evaluate } = loadPolicy(foir ?? '');
  /** yearly rate as a fraction, and months */
  const terms = { PERSONAL: [12n, 100n, 48n], AUTO: [9n, 100n, 60n], HOME: [85n, 1_000n, 240n] } as const;

  /** P·r·(1+r)^n / ((1+r)^n − 1) in whole numbers, rounded half up: r = a/b. */
  function instalment(loanAmountPaise: number, loanType: keyof typeof terms): bigint {
    const [part, whole, months] = terms[loanType];
    const [a, b] = [part, whole * 12n];
    const grown = (a + b) ** months;
    const [numerator, denominator] = [BigInt(loanAmountPaise) * a * grown, b * (grown - b ** months)];
    return (2n * numerator + denominator) / (2n * denominator);
  }

  test.each([
    ['PERSONAL', 5_00_000_00, '₹13,166.92'],
    ['HOME', 35_00_000_00, '₹30,373.81'],
    ['AUTO', 8_00_000_00, '₹16,606.68'],
  ] as const)('the instalment of a %s loan of %d paise is %s', async (loanType, loanAmountPaise, expected) => {
    expect(displayRupees(Number(instalment(loanAmountPaise, loanType)))).toBe(expected);
    const { reasons } = await evaluate({ ...rich, loanAmountPaise, loanType });
    expect(reasons[0]?.message).toContain(`The monthly instalment of ${expected}, at `);
  });

  test('the instalment is exact to the paisa, and the cap is half of the income to the paisa', async () => {
    const nearCap = fc.record({
      loanAmountPaise: anyPaise,
      loanType: fc.constantFrom(...loanTypes),
      off: fc.integer({ min: -2, max: 2 }),
    });
    await fc.assert(
      fc.asyncProperty(nearCap, async ({ loanAmountPaise, loanType, off }) => {
        const emi = Number(instalment(loanAmountPaise, loanType));
        const monthlyIncomePaise = Math.max(1, 2 * emi + off);
        const { outcome, reasons } = await evaluate({ score: 700, monthlyIncomePaise, loanAmountPaise, loanType });
        expect(outcome).toBe(2 * emi <= monthlyIncomePaise ? 'PRE_APPROVED' : 'MANUAL_REVIEW');
        expect(reasons[0]?.message).toContain(` instalment of ${displayRupees(emi)}, `);
      }),
      { numRuns: 3_000 },
    );
  });

  test('a low score is rejected, and no history is an underwriter’s to judge', async () => {
    const verdicts = [649, 650, null].map((score) => evaluate({ ...rich, score }));
    const outcomes = (await Promise.all(verdicts)).map(({ outcome, reasons }) => [outcome, reasons.at(-1)?.code]);
    expect(outcomes).toEqual([
      ['REJECTED', 'SCORE_BELOW_MINIMUM'],
      ['PRE_APPROVED', 'SCORE_SUFFICIENT'],
      ['MANUAL_REVIEW', 'NO_CREDIT_HISTORY'],
    ]);
  });
});

test.each([
  ['a fraction beside the largest amount', 'loanAmountPaise - 0.00000000000001', 'PRE_APPROVED'],
  ['and nothing beside it', 'loanAmountPaise - 0', 'MANUAL_REVIEW'],
  ['a product beyond 2^53', '(loanAmountPaise * 1000000007 - 1) / 1000000007', 'PRE_APPROVED'],
  ['tenths', 'loanAmountPaise - 1 + (0.1 + 0.2 == 0.3 ? 1 : 0)', 'MANUAL_REVIEW'],
])('the arithmetic is exact where floating point rounds: %s', async (_what, value, outcome) => {
  const { evaluate } = loadPolicy(
    seedWith({ 'figures-income-share': { value }, 'reasons-4': sentence, 'reasons-5': sentence }),
  );
  const most = { ...rich, monthlyIncomePaise: maxAmountPaise, loanAmountPaise: maxAmountPaise };
  expect(await evaluate(most)).toMatchObject({ outcome, reasons: [{ message: 'So it is.' }, {}] });
});

test('a figure beyond 64 bits between the nodes does not end the process', async () => {
  const huge = seedWith({
    'figures-income-share': { value: 'loanAmountPaise / 48 + 0 * 7922816251426433759354395033' },
    'figures-minimum-score': { value: '7922816251426433759354395033' },
  });
  expect(await loadPolicy(huge).evaluate(rich)).toMatchObject({ outcome: 'REJECTED' });
});

test('a verdict that the document does not give is a fault, not a guess', async () => {
  const { evaluate } = loadPolicy(seedWith({ 'rules-3': { 'rules-score': '> 790' } }));
  await expect(evaluate(rich)).rejects.toThrow(PolicyFaultError);
});
