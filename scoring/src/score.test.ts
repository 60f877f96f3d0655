import { cibilScoreRange, loanTypes, submissionLimits } from '@prequal/schema';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { score, variation } from './score.ts';

// Its variation is 0, so that the table shows the rules alone; the table of variations below says so.
const neutralId = '019a0000-0000-7000-8000-000000000011';
const production = { useSandboxFixtures: false };
const sandbox = { useSandboxFixtures: true };

const anyFacts = fc.record({
  applicationId: fc.uuid({ version: 7 }),
  panNumber: fc.stringMatching(/^[A-Z]{5}[0-9]{4}[A-Z]$/),
  monthlyIncomePaise: fc.integer({ min: 1, max: submissionLimits.maxAmountPaise }),
  loanType: fc.constantFrom(...loanTypes),
});

describe('the score follows income and loan type', () => {
  test.each([
    ['income of 75 000 is not high yet', 75_000_00, 'AUTO', 650],
    ['one paisa more is', 75_000_01, 'AUTO', 690],
    ['income of 30 000 is not low any more', 30_000_00, 'AUTO', 650],
    ['one paisa less is', 29_999_99, 'AUTO', 630],
    ['the least income', 1, 'AUTO', 630],
    ['the greatest income', submissionLimits.maxAmountPaise, 'AUTO', 690],
    ['a personal loan', 50_000_00, 'PERSONAL', 640],
    ['a home loan', 50_000_00, 'HOME', 660],
    ['high income and a home loan', 80_000_00, 'HOME', 700],
    ['high income and a personal loan', 80_000_00, 'PERSONAL', 680],
    ['low income and a home loan', 20_000_00, 'HOME', 640],
    ['low income and a personal loan', 20_000_00, 'PERSONAL', 620],
  ] as const)('%s', (_what, monthlyIncomePaise, loanType, expected) => {
    const facts = { applicationId: neutralId, panNumber: 'PQRSX9876Z', monthlyIncomePaise, loanType };
    expect(score(facts, production)).toBe(expected);
  });
});

describe('the sandbox PANs', () => {
  test.each([
    ['ABCDE1234F', 790],
    ['FGHIJ5678K', 610],
  ])('%s scores %d, whatever else is stated', (panNumber, expected) => {
    fc.assert(
      fc.property(anyFacts, (facts) => {
        expect(score({ ...facts, panNumber }, sandbox)).toBe(expected);
      }),
    );
  });

  test('are PANs like any other in production', () => {
    fc.assert(
      fc.property(anyFacts, fc.constantFrom('ABCDE1234F', 'FGHIJ5678K'), (facts, panNumber) => {
        expect(score({ ...facts, panNumber }, production)).toBe(score(facts, production));
      }),
    );
  });
});

test('the score is a whole number from 300 to 900', () => {
  fc.assert(
    fc.property(anyFacts, fc.boolean(), (facts, useSandboxFixtures) => {
      const result = score(facts, { useSandboxFixtures });
      expect(Number.isInteger(result)).toBe(true);
      expect(result).toBeGreaterThanOrEqual(cibilScoreRange.min);
      expect(result).toBeLessThanOrEqual(cibilScoreRange.max);
    }),
  );
});

test('the same application always gets the same score', () => {
  fc.assert(
    fc.property(anyFacts, (facts) => {
      expect(score({ ...facts }, production)).toBe(score(facts, production));
    }),
  );
});

test('more income never lowers the score', () => {
  fc.assert(
    fc.property(anyFacts, anyFacts, (facts, { monthlyIncomePaise }) => {
      const [less = 0, more = 0] = [facts.monthlyIncomePaise, monthlyIncomePaise].toSorted((a, b) => a - b);
      const scoreWith = (paise: number) => score({ ...facts, monthlyIncomePaise: paise }, production);
      expect(scoreWith(less)).toBeLessThanOrEqual(scoreWith(more));
    }),
  );
});

describe('the variation', () => {
  // Written down, so that a change of the hash cannot go unnoticed: it would give redelivered messages another score.
  test.each([
    [neutralId, 0],
    ['019a0000-0000-7000-8000-000000000003', -5],
    ['019a0000-0000-7000-8000-000000000001', -1],
    ['019a0000-0000-7000-8000-000000000006', 5],
  ])('of %s is %d for ever', (id, expected) => {
    expect(variation(id)).toBe(expected);
  });

  test('is a whole number from −5 to +5', () => {
    fc.assert(
      fc.property(fc.string(), (id) => {
        expect([-5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5]).toContain(variation(id));
      }),
    );
  });

  test('takes all eleven values, each about as often', () => {
    const times = new Map<number, number>();
    for (let index = 0; index < 11_000; index++) {
      const shift = variation(`application-${index}`);
      times.set(shift, (times.get(shift) ?? 0) + 1);
    }
    expect([...times.keys()].toSorted((a, b) => a - b)).toEqual([-5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5]);
    expect(Math.min(...times.values())).toBeGreaterThan(850);
    expect(Math.max(...times.values())).toBeLessThan(1_150);
  });
});
