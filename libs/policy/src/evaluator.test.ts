import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { type EvaluatorOptions, openEvaluator } from './evaluator.ts';
import { policyHash } from './policy-hash.ts';
import { seedWith } from './seed-with.fixture.ts';
import { shippedPolicies } from './shipped.ts';
import type { PolicyInput } from './verdict.ts';

const list = JSON.stringify(Array.from({ length: 60 }, (_, index) => index));
/** A figure that is `costly` for one score and the shipped one for all others. */
const trapAt = (score: number, costly: string) =>
  named(seedWith({ 'figures-minimum-score': { value: `score == ${score} ? ${costly} : 650` } }));
const endless = Array.from({ length: 8 }).reduce<string>((inner) => `sum(map(${list}, ${inner}))`, '#');
const huge = `len(${Array.from({ length: 5 }).reduce<string>((inner) => `flatMap(${list}, ${inner})`, list)})`;
const [seed] = shippedPolicies().map(({ document }) => named(document));

const opened = new Set<AsyncDisposable>();
afterEach(async () => {
  for (const one of opened) await one[Symbol.asyncDispose]();
  opened.clear();
});

function evaluator(options: Partial<EvaluatorOptions> = {}) {
  const one = openEvaluator({ limitMs: 5_000, isolates: true, maxItems: 256, ...options });
  opened.add(one);
  return one;
}

function named(document: string) {
  return { hash: policyHash(document), document };
}

function scored(score: number): PolicyInput {
  return { score, monthlyIncomePaise: 75_000_00, loanAmountPaise: 5_00_000_00, loanType: 'HOME' };
}

const outcomes = (settled: PromiseSettledResult<{ outcome: string }>[]) =>
  settled.map((one) => (one.status === 'fulfilled' ? one.value.outcome : `${one.reason.name} ${one.reason.kind}`));

test('many are asked at once, about several documents, and each gets its own verdict', async () => {
  const { evaluate } = evaluator({ maxItems: 10 });
  const stricter = named(seedWith({ 'figures-minimum-score': { value: '720' } }));
  const scores = Array.from({ length: 40 }, (_, index) => 630 + 4 * index);
  const asked = scores.flatMap((score) => [
    evaluate(seed ?? stricter, scored(score)),
    evaluate(stricter, scored(score)),
  ]);
  expect((await Promise.all(asked)).map(({ outcome }) => outcome)).toEqual(
    scores.flatMap((score) => [650, 720].map((minimum) => (score < minimum ? 'REJECTED' : 'PRE_APPROVED'))),
  );
});

test.for([
  ['goes on for ever', endless, 1_000, 'gives no verdict within 1000 ms'],
  ['fills the memory', huge, 20_000, 'ends the process'],
] as const)('an input on which the document %s fails alone', { timeout: 90_000 }, async ([, costly, limitMs, why]) => {
  const { evaluate } = evaluator({ limitMs });
  const policy = trapAt(700, costly);
  const settled = await Promise.allSettled([690, 700, 710, 700].map((score) => evaluate(policy, scored(score))));
  const failed = 'PolicyFaultError UNFINISHED';
  expect(outcomes(settled)).toEqual(['PRE_APPROVED', failed, 'PRE_APPROVED', failed]);
  await expect(evaluate(policy, scored(700))).rejects.toThrow(why);
});

test('without isolation all that were asked together fail together, and the next ones are answered', async () => {
  const { evaluate } = evaluator({ limitMs: 1_000, isolates: false });
  const policy = trapAt(700, endless);
  const settled = await Promise.allSettled([690, 700].map((score) => evaluate(policy, scored(score))));
  expect(outcomes(settled)).toEqual(Array(2).fill('PolicyFaultError UNFINISHED'));
  expect(await evaluate(policy, scored(690))).toMatchObject({ outcome: 'PRE_APPROVED' });
});

test('an answer that came while the asker was suspended is not too late', async () => {
  const { evaluate } = evaluator({ limitMs: 200 });
  const policy = named(seedWith({}));
  await evaluate(policy, scored(700));
  const asked = evaluate(policy, scored(690));
  // Until it is sent, and not until it is answered.
  for (let turn = 0; turn < 4; turn += 1) await new Promise(setImmediate);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400);
  expect(await asked).toMatchObject({ outcome: 'PRE_APPROVED' });
});

test('a document that cannot be read gives no verdict, and is no harm to others', async () => {
  const { evaluate } = evaluator();
  const unread = named('{"nodes": []}');
  await expect(evaluate(unread, scored(700))).rejects.toMatchObject({ kind: 'UNREADABLE' });
  expect(await evaluate(seed ?? unread, scored(700))).toMatchObject({ outcome: 'PRE_APPROVED' });
});

test('disposed, it leaves no process behind, and what was asked is not answered', async () => {
  const one = evaluator();
  await one.evaluate(seed ?? named(''), scored(700));
  const asked = one.evaluate(trapAt(700, endless), scored(700)).catch((error: unknown) => error);
  await delay(50);
  await one[Symbol.asyncDispose]();
  expect(await asked).toBeInstanceOf(Error);
  await expect.poll(() => process.getActiveResourcesInfo()).not.toContain('ProcessWrap');
  await expect(one.evaluate(seed ?? named(''), scored(700))).rejects.toThrow('closed');
});
