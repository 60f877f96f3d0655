import { loadPolicy, type PolicyInput, shippedPolicies } from '@prequal/policy';
import { type BureauReport, cibilScoreRange, loanTypes, submissionLimits } from '@prequal/schema';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decide } from './seed-1.ts';

/** Policy `seed-1` as a document, compared with the pure rule that was written before it. */

const { maxAmountPaise } = submissionLimits;
const { evaluate } = loadPolicy(shippedPolicies().find(({ version }) => version === 'seed-1')?.document ?? '');

/** The inputs for which the engine and the rule differ, sentences included. */
async function differences(inputs: readonly PolicyInput[]): Promise<unknown[]> {
  const pairs = inputs.map(async (input) => {
    const bureau = 'test';
    const report: BureauReport =
      input.score === null ? { result: 'NO_HISTORY', bureau } : { result: 'SCORED', score: input.score, bureau };
    return { input, engine: await evaluate(input), rule: decide({ ...input, report }) };
  });
  return (await Promise.all(pairs)).filter(({ engine, rule }) => JSON.stringify(engine) !== JSON.stringify(rule));
}

const paise = fc.integer({ min: 1, max: maxAmountPaise });
const amounts = fc.oneof(
  fc.record({ monthlyIncomePaise: paise, loanAmountPaise: paise }),
  // Chance alone would rarely come near one forty-eighth.
  fc.record({ loanAmountPaise: paise, off: fc.integer({ min: -2, max: 2 }) }).map(({ loanAmountPaise, off }) => {
    return { loanAmountPaise, monthlyIncomePaise: Math.max(1, Math.floor(loanAmountPaise / 48) + off) };
  }),
  fc.integer({ min: 1, max: Math.floor(maxAmountPaise / 48) }).map((monthlyIncomePaise) => {
    return { monthlyIncomePaise, loanAmountPaise: monthlyIncomePaise * 48 };
  }),
);
const score = fc.oneof(fc.integer(cibilScoreRange), fc.integer({ min: 648, max: 652 }), fc.constant(null));
const inputs = fc.record({ score, amounts, loanType: fc.constantFrom(...loanTypes) });

test('seed-1 in the engine is the pure rule on 100 000 random inputs', async () => {
  const random = fc.sample(inputs, 100_000).map(({ amounts: both, ...rest }) => ({ ...rest, ...both }));
  for (let from = 0; from < random.length; from += 5_000) {
    expect(await differences(random.slice(from, from + 5_000))).toEqual([]);
  }
}, 60_000);

test('and on every boundary, with every score', async () => {
  const { min, max } = cibilScoreRange;
  const scores = [null, ...Array.from({ length: max - min + 1 }, (_, index) => min + index)];
  const loans = [1, 47, 48, 49, 96, 4_800, 4_801, 5_00_000_00, maxAmountPaise - 1, maxAmountPaise];
  for (const loanAmountPaise of loans) {
    const share = Math.floor(loanAmountPaise / 48);
    const incomes = [share - 1, share, share + 1, 1, maxAmountPaise].filter((income) => income >= 1);
    const all = scores.flatMap((each) =>
      incomes.map((monthlyIncomePaise) => ({
        score: each,
        monthlyIncomePaise,
        loanAmountPaise,
        loanType: 'AUTO' as const,
      })),
    );
    expect(await differences(all)).toEqual([]);
  }
}, 60_000);
