import { cibilScoreRange, type DecisionOutcome, submissionLimits } from '@prequal/schema';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type DecisionFacts, decide } from './seed-1.ts';

const { maxAmountPaise } = submissionLimits;
const anyScore = fc.integer(cibilScoreRange);
const paise = fc.integer({ min: 1, max: maxAmountPaise });

// Chance alone would rarely come near the boundary where income is one forty-eighth of the amount.
const nearBoundary = fc.tuple(paise, fc.integer({ min: -2, max: 2 })).map(([loanAmountPaise, offset]) => ({
  loanAmountPaise,
  monthlyIncomePaise: Math.max(1, Math.floor(loanAmountPaise / 48) + offset),
}));
const exactlyOnBoundary = fc
  .integer({ min: 1, max: Math.floor(maxAmountPaise / 48) })
  .map((monthlyIncomePaise) => ({ monthlyIncomePaise, loanAmountPaise: monthlyIncomePaise * 48 }));
const anyAmounts = fc.oneof(
  fc.record({ monthlyIncomePaise: paise, loanAmountPaise: paise }),
  nearBoundary,
  exactlyOnBoundary,
);

function scored(score: number, monthlyIncomePaise: number, loanAmountPaise: number): DecisionFacts {
  return { report: { result: 'SCORED', score, bureau: 'test' }, monthlyIncomePaise, loanAmountPaise };
}

function noHistory(monthlyIncomePaise: number, loanAmountPaise: number): DecisionFacts {
  return { report: { result: 'NO_HISTORY', bureau: 'test' }, monthlyIncomePaise, loanAmountPaise };
}

const anyFacts = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(anyScore, anyAmounts).map(([s, a]) => scored(s, a.monthlyIncomePaise, a.loanAmountPaise)),
  },
  { weight: 1, arbitrary: anyAmounts.map((a) => noHistory(a.monthlyIncomePaise, a.loanAmountPaise)) },
);

describe('policy seed-1', () => {
  const rich = 9_00_000_00;
  const loan = 24_00_000_00; // 50 000 rupees are one forty-eighth of it
  test.each([
    ['the lowest score', scored(300, rich, loan), 'REJECTED', ['SCORE_BELOW_MINIMUM']],
    ['a score of 649', scored(649, rich, loan), 'REJECTED', ['SCORE_BELOW_MINIMUM']],
    ['a score of 650', scored(650, rich, loan), 'PRE_APPROVED', ['INCOME_SUFFICIENT', 'SCORE_SUFFICIENT']],
    ['the highest score', scored(900, rich, loan), 'PRE_APPROVED', ['INCOME_SUFFICIENT', 'SCORE_SUFFICIENT']],
    ['low score and low income', scored(649, 1, loan), 'REJECTED', ['SCORE_BELOW_MINIMUM']],
    [
      'income of a paisa too little',
      scored(790, 49_999_99, loan),
      'MANUAL_REVIEW',
      ['INCOME_INSUFFICIENT', 'SCORE_SUFFICIENT'],
    ],
    [
      'income of exactly one forty-eighth',
      scored(790, 50_000_00, loan),
      'MANUAL_REVIEW',
      ['INCOME_INSUFFICIENT', 'SCORE_SUFFICIENT'],
    ],
    ['income of a paisa more', scored(790, 50_000_01, loan), 'PRE_APPROVED', ['INCOME_SUFFICIENT', 'SCORE_SUFFICIENT']],
    [
      'a share that is no whole paisa, income below',
      scored(790, 2_08, 100_00),
      'MANUAL_REVIEW',
      ['INCOME_INSUFFICIENT', 'SCORE_SUFFICIENT'],
    ],
    [
      'a share that is no whole paisa, income above',
      scored(790, 2_09, 100_00),
      'PRE_APPROVED',
      ['INCOME_SUFFICIENT', 'SCORE_SUFFICIENT'],
    ],
    ['the least of both', scored(790, 1, 1), 'PRE_APPROVED', ['INCOME_SUFFICIENT', 'SCORE_SUFFICIENT']],
    [
      'the greatest of both',
      scored(790, maxAmountPaise, maxAmountPaise),
      'PRE_APPROVED',
      ['INCOME_SUFFICIENT', 'SCORE_SUFFICIENT'],
    ],
    ['no history, rich', noHistory(rich, 1), 'MANUAL_REVIEW', ['NO_CREDIT_HISTORY']],
    ['no history, poor', noHistory(1, loan), 'MANUAL_REVIEW', ['NO_CREDIT_HISTORY']],
  ])('%s', (_what, facts, outcome, codes) => {
    const verdict = decide(facts);
    expect(verdict.outcome).toBe(outcome);
    expect(verdict.reasons.map((reason) => reason.code)).toEqual(codes);
  });
});

test('the outcome is what exact arithmetic says, also where floating point would round', () => {
  fc.assert(
    fc.property(anyScore, anyAmounts, (points, { monthlyIncomePaise, loanAmountPaise }) => {
      const isAffordable = BigInt(monthlyIncomePaise) * 48n > BigInt(loanAmountPaise);
      const expected: DecisionOutcome = points < 650 ? 'REJECTED' : isAffordable ? 'PRE_APPROVED' : 'MANUAL_REVIEW';
      expect(decide(scored(points, monthlyIncomePaise, loanAmountPaise)).outcome).toBe(expected);
    }),
    { numRuns: 2_000 },
  );
});

test('equality is an underwriter’s to decide', () => {
  fc.assert(
    fc.property(fc.integer({ min: 650, max: 900 }), exactlyOnBoundary, (points, amounts) => {
      const { monthlyIncomePaise, loanAmountPaise } = amounts;
      expect(decide(scored(points, monthlyIncomePaise, loanAmountPaise)).outcome).toBe('MANUAL_REVIEW');
      expect(decide(scored(points, monthlyIncomePaise + 1, loanAmountPaise)).outcome).toBe('PRE_APPROVED');
    }),
  );
});

test('nobody is rejected for lack of history', () => {
  fc.assert(
    fc.property(anyAmounts, ({ monthlyIncomePaise, loanAmountPaise }) => {
      const verdict = decide(noHistory(monthlyIncomePaise, loanAmountPaise));
      expect(verdict.outcome).toBe('MANUAL_REVIEW');
      expect(verdict.reasons.map((reason) => reason.code)).toEqual(['NO_CREDIT_HISTORY']);
    }),
  );
});

describe('whatever the facts', () => {
  test('there is an outcome and at least one reason, each with a stable code and one sentence', () => {
    fc.assert(
      fc.property(anyFacts, (facts) => {
        const { outcome, reasons } = decide(facts);
        expect(['PRE_APPROVED', 'REJECTED', 'MANUAL_REVIEW']).toContain(outcome);
        expect(reasons.length).toBeGreaterThan(0);
        for (const { code, message } of reasons) {
          expect(code).toMatch(/^[A-Z][A-Z_]*$/);
          expect(message).toMatch(/^[A-Z].*[^.]\.$/);
        }
        expect(new Set(reasons.map((reason) => reason.code)).size).toBe(reasons.length);
      }),
    );
  });

  test('the same facts give the same verdict', () => {
    fc.assert(
      fc.property(anyFacts, (facts) => {
        expect(decide(structuredClone(facts))).toEqual(decide(facts));
      }),
    );
  });
});

describe('no one is worse off', () => {
  const rank: Record<DecisionOutcome, number> = { REJECTED: 0, MANUAL_REVIEW: 1, PRE_APPROVED: 2 };
  const rankOf = (points: number, income: number, amount: number) =>
    rank[decide(scored(points, income, amount)).outcome];
  const ascending = (a: number, b: number): [number, number] => (a <= b ? [a, b] : [b, a]);

  test('for a higher score', () => {
    fc.assert(
      fc.property(anyScore, anyScore, anyAmounts, (one, other, { monthlyIncomePaise, loanAmountPaise }) => {
        const [lower, higher] = ascending(one, other);
        expect(rankOf(lower, monthlyIncomePaise, loanAmountPaise)).toBeLessThanOrEqual(
          rankOf(higher, monthlyIncomePaise, loanAmountPaise),
        );
      }),
    );
  });

  test('for a higher income', () => {
    fc.assert(
      fc.property(anyScore, anyAmounts, paise, (points, { monthlyIncomePaise, loanAmountPaise }, income) => {
        const [less, more] = ascending(monthlyIncomePaise, income);
        expect(rankOf(points, less, loanAmountPaise)).toBeLessThanOrEqual(rankOf(points, more, loanAmountPaise));
      }),
    );
  });

  test('for asking less', () => {
    fc.assert(
      fc.property(anyScore, anyAmounts, paise, (points, { monthlyIncomePaise, loanAmountPaise }, amount) => {
        const [less, more] = ascending(loanAmountPaise, amount);
        expect(rankOf(points, monthlyIncomePaise, more)).toBeLessThanOrEqual(rankOf(points, monthlyIncomePaise, less));
      }),
    );
  });
});

describe('the sentences carry the figures that decided', () => {
  test.each([
    [scored(610, 80_000_00, 5_00_000_00), ['Your CIBIL score of 610 is below the minimum of 650.']],
    [
      scored(790, 80_000_00, 5_00_000_00),
      [
        'Your monthly income of ₹80,000.00 is more than ₹10,416.66, one forty-eighth of the requested ₹5,00,000.00.',
        'Your CIBIL score of 790 reaches the minimum of 650.',
      ],
    ],
    [
      scored(650, 50_000_00, 24_00_000_00),
      [
        'Your monthly income of ₹50,000.00 is not more than ₹50,000.00, one forty-eighth of the requested ₹24,00,000.00, so an underwriter looks at your application.',
        'Your CIBIL score of 650 reaches the minimum of 650.',
      ],
    ],
  ])('for facts %#', (facts, messages) => {
    expect(decide(facts).reasons.map((reason) => reason.message)).toEqual(messages);
  });

  test('and what they say about the income is true of the figures in them', () => {
    fc.assert(
      fc.property(fc.integer({ min: 650, max: 900 }), anyAmounts, (points, { monthlyIncomePaise, loanAmountPaise }) => {
        const sentence = decide(scored(points, monthlyIncomePaise, loanAmountPaise)).reasons[0]?.message ?? '';
        const figures = [...sentence.matchAll(/₹([\d,]+)\.(\d\d)/g)].map((m) =>
          BigInt(`${m[1]?.replaceAll(',', '')}${m[2]}`),
        );
        expect(figures).toEqual([BigInt(monthlyIncomePaise), BigInt(loanAmountPaise) / 48n, BigInt(loanAmountPaise)]);
        const [income = 0n, share = 0n] = figures;
        expect(sentence.includes(' is more than ')).toBe(income > share);
        expect(sentence.includes(' is not more than ')).toBe(income <= share);
      }),
    );
  });

  test('and the score, when there is one', () => {
    fc.assert(
      fc.property(anyScore, anyAmounts, (points, { monthlyIncomePaise, loanAmountPaise }) => {
        const messages = decide(scored(points, monthlyIncomePaise, loanAmountPaise)).reasons.map((r) => r.message);
        expect(messages.filter((message) => message.includes(`score of ${points} `))).toHaveLength(1);
      }),
    );
  });
});
