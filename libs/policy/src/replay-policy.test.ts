import { expect, test } from 'vitest';
import { replayPolicy } from './replay-policy.ts';
import { seedWith } from './seed-with.fixture.ts';
import type { PolicyInput } from './verdict.ts';

const list = JSON.stringify(Array.from({ length: 60 }, (_, index) => index));
const endless = Array.from({ length: 8 }).reduce<string>((inner) => `sum(map(${list}, ${inner}))`, '#');

test('of a document that does not end it is said on which input', async () => {
  const document = seedWith({ 'figures-minimum-score': { value: `score == 700 ? ${endless} : 650` } });
  const inputs = [690, 700, 710].map(
    (score): PolicyInput => ({ score, monthlyIncomePaise: 75_000_00, loanAmountPaise: 5_00_000_00, loanType: 'HOME' }),
  );
  await expect(replayPolicy({ document, inputs }, 6_000)).rejects.toMatchObject({
    findings: [{ kind: 'UNFINISHED', examples: [{ score: 700 }] }],
  });
});
