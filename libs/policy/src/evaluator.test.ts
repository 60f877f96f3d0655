import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { queryObjects } from 'node:v8';
import { afterEach, expect, test } from 'vitest';
import { type EvaluatorOptions, openEvaluator, type PolicyDocument } from './evaluator.ts';
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
  const one = openEvaluator({ limitMs: 5_000, maxItems: 256, ...options });
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
] as const)('an input on which the document %s fails alone', async ([, costly, limitMs, why]) => {
  const { evaluate } = evaluator({ limitMs: 500, aloneMs: limitMs });
  const policy = trapAt(700, costly);
  const settled = await Promise.allSettled([690, 700, 710, 700].map((score) => evaluate(policy, scored(score))));
  const failed = 'PolicyFaultError UNFINISHED';
  expect(outcomes(settled)).toEqual(['PRE_APPROVED', failed, 'PRE_APPROVED', failed]);
  expect(settled[1]).toMatchObject({ reason: { message: expect.stringContaining(why) } });
});

test('those that are asked after one that goes on for ever do not wait for it', async () => {
  const { evaluate } = evaluator({ limitMs: 200, aloneMs: 20_000 });
  const policy = trapAt(700, endless);
  await evaluate(policy, scored(690));
  const stuck = evaluate(policy, scored(700)).catch((error: unknown) => error);
  const begun = performance.now();
  const verdicts = await Promise.all(Array.from({ length: 50 }, (_, index) => evaluate(policy, scored(701 + index))));
  expect(new Set(verdicts.map(({ outcome }) => outcome))).toEqual(new Set(['PRE_APPROVED']));
  expect(performance.now() - begun).toBeLessThan(10_000);
  // Only then: the stuck one has 20 s.
  for (const one of opened) await one[Symbol.asyncDispose]();
  expect(await stuck).toMatchObject({ name: 'EvaluatorAwayError' });
});

test('of many that are evaluated at once those fail that do not end, and no other', async () => {
  const { evaluate } = evaluator({ limitMs: 400 });
  const policy = named(
    seedWith({ 'figures-minimum-score': { value: `score >= 700 and score < 704 ? ${endless} : 650` } }),
  );
  // The first one starts the process, and only the next tells how long one takes.
  for (const score of [690, 691]) await evaluate(policy, scored(score));
  const scores = Array.from({ length: 12 }, (_, index) => 700 + index);
  const settled = await Promise.allSettled(scores.map((score) => evaluate(policy, scored(score))));
  expect(outcomes(settled)).toEqual(
    scores.map((score) => (score < 704 ? 'PolicyFaultError UNFINISHED' : 'PRE_APPROVED')),
  );
});

test('those that take their time are all answered, though together they take longer than one may', async () => {
  const thousands = Array.from({ length: 3 }).reduce<string>((inner) => `sum(map(${list}, ${inner}))`, '#');
  const slow = `sum(map(${JSON.stringify(Array.from({ length: 10 }, (_, index) => index))}, ${thousands}))`;
  const policy = named(seedWith({ 'figures-minimum-score': { value: `${slow} > 0 ? 650 : 900` } }));
  // So long that none is late by itself, also on a machine that is slow, or soon busier; and all together are.
  const limitMs = Math.ceil(36 * (await oneTakesMs(policy)));
  const { evaluate } = evaluator({ limitMs, atOnce: 96 });
  await evaluate(policy, scored(690));
  const [pid] = childrenOf(process.pid);
  const begun = performance.now();
  const verdicts = await Promise.all(Array.from({ length: 96 }, (_, index) => evaluate(policy, scored(700 + index))));
  expect(new Set(verdicts.map(({ outcome }) => outcome))).toEqual(new Set(['PRE_APPROVED']));
  expect(performance.now() - begun).toBeGreaterThan(limitMs);
  // The same process, so that none of them was thought to go on for ever.
  expect(childrenOf(process.pid)).toEqual([pid]);
});

/** How long one evaluation takes here and now at the least, once the process is there and has read the document. */
async function oneTakesMs(policy: PolicyDocument): Promise<number> {
  await using patient = openEvaluator({ limitMs: 60_000, maxItems: 1 });
  await patient.evaluate(policy, scored(690));
  const tookMs: number[] = [];
  for (const score of [691, 692, 693]) {
    const begun = performance.now();
    await patient.evaluate(policy, scored(score));
    tookMs.push(performance.now() - begun);
  }
  return Math.min(...tookMs);
}

test('what did not end is not asked again at once', async () => {
  const { evaluate } = evaluator({ limitMs: 200, aloneMs: 1_000 });
  const policy = trapAt(700, endless);
  await expect(evaluate(policy, scored(700))).rejects.toMatchObject({ kind: 'UNFINISHED' });
  await evaluate(policy, scored(690));
  const processes = childrenOf(process.pid);
  const begun = performance.now();
  await expect(evaluate(policy, scored(700))).rejects.toMatchObject({ kind: 'UNFINISHED' });
  expect(performance.now() - begun).toBeLessThan(100);
  // Asked again, it would have ended the process.
  expect(childrenOf(process.pid)).toEqual(processes);
  expect(processes).toHaveLength(1);
});

const childrenOf = (parent: number | undefined) =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && isEvaluatorOf(parent, name))
    .map(Number);

function isEvaluatorOf(parent: number | undefined, pid: string): boolean {
  try {
    const of = (file: string) => readFileSync(`/proc/${pid}/${file}`, 'utf8');
    return of('status').includes(`PPid:\t${parent}\n`) && of('cmdline').includes('evaluator/main.ts');
  } catch {
    return false;
  }
}

test('a process that is ended from outside is missed by nobody, and knows nothing of our environment', async () => {
  const { evaluate } = evaluator({ limitMs: 2_000, aloneMs: 2_000 });
  const policy = seed ?? named('');
  await evaluate(policy, scored(700));
  const [pid] = childrenOf(process.pid);
  // It comes from a shell with a HOME and a PATH.
  expect(readFileSync(`/proc/${pid}/environ`, 'utf8')).not.toMatch(/(^|\0)(HOME|PATH)=/);
  process.kill(pid ?? 0, 'SIGKILL');
  expect(await evaluate(policy, scored(700))).toMatchObject({ outcome: 'PRE_APPROVED' });
});

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

test('its process ends with the one that asks, and not with what ends the terminal', async () => {
  const script = `
    import { openEvaluator, policyHash, shippedPolicies } from ${JSON.stringify(path.join(import.meta.dirname, 'index.ts'))};
    const [{ document }] = shippedPolicies();
    const { evaluate } = openEvaluator({ limitMs: 5000, maxItems: 1 });
    await evaluate({ hash: policyHash(document), document }, ${JSON.stringify(scored(700))});
    console.log('asked');`;
  const asker = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  for await (const text of asker.stdout) if (String(text).includes('asked')) break;
  const [pid] = childrenOf(asker.pid);
  if (!pid) throw new Error('there is no such process');
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.kill(pid, signal);
  await delay(300);
  expect(isThere(pid)).toBe(true);
  asker.kill('SIGKILL');
  await expect.poll(() => isThere(pid)).toBe(false);
});

test('without a second try the one that goes on for ever fails, and those beside it do not', async () => {
  const { evaluate } = evaluator({ limitMs: 1_000 });
  const policy = trapAt(700, endless);
  const settled = await Promise.allSettled([690, 700, 710].map((score) => evaluate(policy, scored(score))));
  expect(outcomes(settled)).toEqual(['PRE_APPROVED', 'PolicyFaultError UNFINISHED', 'PRE_APPROVED']);
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

test('a question that was answered leaves nothing behind', async () => {
  const { evaluate } = evaluator();
  const ask = () => evaluate(seed ?? named(''), scored(700));
  await ask();
  const promises = () => queryObjects(Promise, { format: 'count' });
  const before = promises();
  for (let asked = 0; asked < 500; asked += 1) await ask();
  expect(promises() - before).toBeLessThan(100);
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
