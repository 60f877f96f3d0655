import { setPolicyMode, sql } from '@prequal/persistence';
import { policyHash } from '@prequal/policy';
import { quiet, type TestDatabase, test } from '@prequal/testing';
import { expect } from 'vitest';
import { endlessAt, handling, pendingApplication, report, scored, seed, stored } from './deciding.fixture.ts';
import { policiesOf } from './policies.fixture.ts';
import { createDocuments } from './policy-documents.ts';
import { type Comparison, createShadow } from './shadow.ts';

/** What stands beside the decisions on these applications. */
async function besides(database: TestDatabase, ...ids: string[]) {
  const { rows } = await sql<{ application_id: string; policy_version: string; outcome: string; error: string }>`
    select application_id, version, policy_version, policy_hash, outcome, reasons, error from shadow_verdicts
    where application_id = any(${ids}::uuid[])`.execute(database.sql());
  return ids.map((id) => rows.find((row) => row.application_id === id));
}

async function statusOf(database: TestDatabase, id: string) {
  const { rows } = await sql`select status, version from applications where id = ${id}`.execute(database.sql());
  return rows[0];
}

const foir = { version: 'foir-1', mode: 'SHADOW', by: 'a-test' } as const;

test('what the shadow policy says stands beside the decision soon after it', async ({ database }) => {
  const { handle } = handling(database);
  const { counted } = policiesOf(database);
  const before = counted.length;
  const id = await pendingApplication(database);
  await database
    .sql()
    .transaction()
    .execute(async (transaction) => {
      // As long as nobody can write a verdict: the decision waits for none.
      await sql`lock table shadow_verdicts in share mode`.execute(transaction);
      await handle(report(id));
      expect(await statusOf(database, id)).toEqual({ status: 'PRE_APPROVED', version: 2 });
      expect(await besides(database, id)).toEqual([undefined]);
    });
  await expect
    .poll(() => besides(database, id))
    .toMatchObject([
      {
        version: 2,
        policy_version: 'foir-1',
        policy_hash: expect.stringMatching(/^[0-9a-f]{64}$/),
        outcome: 'PRE_APPROVED',
        reasons: [{ code: 'INSTALMENT_AFFORDABLE' }, { code: 'SCORE_SUFFICIENT' }],
        error: null,
      },
    ]);
  // Too little income for the deciding policy, and enough for the instalment.
  const other = await pendingApplication(database, { income: '10000.00', amount: '500000.00' });
  await handle(report(other));
  expect(await statusOf(database, other)).toMatchObject({ status: 'MANUAL_REVIEW' });
  await expect.poll(() => besides(database, other)).toMatchObject([{ outcome: 'PRE_APPROVED' }]);
  await expect.poll(() => counted.slice(before)).toEqual(['same', 'other']);
});

test('a shadow policy that gives no verdict changes nothing but what is recorded beside the decision', async ({
  database,
}) => {
  const { handle } = handling(database);
  const { counted } = policiesOf(database);
  await stored(database, 'no-rows', seed.replaceAll('>= minimumScore', '> 900'));
  await setPolicyMode(database, { version: 'no-rows', mode: 'SHADOW', by: 'a-test' });
  const id = await pendingApplication(database);
  await handle(report(id));
  expect(await statusOf(database, id)).toMatchObject({ status: 'PRE_APPROVED' });
  await expect
    .poll(() => besides(database, id))
    .toMatchObject([{ policy_version: 'no-rows', outcome: null, error: expect.stringContaining('No row decides') }]);
  await expect.poll(() => counted.at(-1)).toBe('failed');
  await setPolicyMode(database, { version: 'no-rows', mode: 'INACTIVE', by: 'a-test' });
  const [later, marker] = [await pendingApplication(database), await pendingApplication(database)];
  await handle(report(later));
  await setPolicyMode(database, foir);
  await handle(report(marker));
  // What is asked later is answered later: were there a verdict on the first of them, it would be there by now.
  await expect.poll(() => besides(database, marker)).toMatchObject([{ policy_version: 'foir-1' }]);
  expect(await besides(database, later)).toEqual([undefined]);
});

test('a shadow policy that goes on for ever delays no decision, and only what is asked of it', async ({ database }) => {
  const { handle } = handling(database);
  await stored(database, 'endless-702', endlessAt(702));
  await setPolicyMode(database, { version: 'endless-702', mode: 'SHADOW', by: 'a-test' });
  const ids = await Promise.all(Array.from({ length: 20 }, () => pendingApplication(database)));
  const [first = '', ...others] = ids;
  const { counted } = policiesOf(database);
  const before = counted.length;
  await handle(report(first, scored(702)));
  for (const id of others) await handle(report(id));
  // The last of them was not asked about yet: had its decision waited, it would be counted.
  expect(counted.length - before).toBeLessThan(ids.length);
  await expect
    .poll(async () => (await besides(database, ...ids)).every((one) => one?.policy_version === 'endless-702'), {
      timeout: 40_000,
    })
    .toBe(true);
  const [stuck, ...rest] = await besides(database, ...ids);
  expect(stuck).toMatchObject({ outcome: null, error: expect.stringContaining('gives no verdict within 1000 ms') });
  for (const one of rest) expect(one).toMatchObject({ outcome: 'PRE_APPROVED', error: null });
  await setPolicyMode(database, foir);
});

/** One of its own that is ready, and what it was told to count. */
async function shadowOf(database: TestDatabase, options: { maxWaiting?: number } = {}) {
  const counted: Comparison[] = [];
  const count = (one: Comparison) => void counted.push(one);
  const shadow = createShadow({ database, read: createDocuments(database), log: quiet, count, ...options });
  await shadow.warmUp(seedName);
  return { counted, shadow };
}

const about = {
  version: 2,
  outcome: 'PRE_APPROVED',
  input: { score: 700, monthlyIncomePaise: 75_000_00, loanAmountPaise: 5_00_000_00, loanType: 'HOME' },
  synthetic: false,
} as const;
const seedName = { version: 'seed-1', hash: policyHash(seed) };

/** Applications that are decided on, by a policy with nothing beside it. */
async function decidedOn(database: TestDatabase, count: number): Promise<string[]> {
  await setPolicyMode(database, { ...foir, mode: 'INACTIVE' });
  const ids = await Promise.all(Array.from({ length: count }, () => pendingApplication(database)));
  await handling(database).handle(...ids.map((id) => report(id)));
  await setPolicyMode(database, foir);
  return ids;
}

test('of more decisions than may wait it is not asked, which is counted', async ({ database }) => {
  const ids = await decidedOn(database, 5);
  const { shadow, counted } = await shadowOf(database, { maxWaiting: 3 });
  for (const applicationId of ids) shadow.compare(seedName, { ...about, applicationId });
  // A stop records what waits.
  await shadow[Symbol.asyncDispose]();
  expect(counted.toSorted()).toEqual(['same', 'same', 'same', 'unasked', 'unasked']);
  const recorded = await besides(database, ...ids);
  expect(recorded.map((one) => one?.outcome)).toEqual([
    'PRE_APPROVED',
    'PRE_APPROVED',
    'PRE_APPROVED',
    undefined,
    undefined,
  ]);
});

test('a verdict that cannot be stored costs its neighbours nothing, and no process', async ({ database }) => {
  const [id = ''] = await decidedOn(database, 1);
  const { shadow, counted } = await shadowOf(database);
  shadow.compare(seedName, { ...about, applicationId: id });
  // There is no such decision.
  shadow.compare(seedName, { ...about, applicationId: id, version: 9 });
  // Nor such a policy.
  shadow.compare({ version: 'no-such', hash: 'f'.repeat(64) }, { ...about, applicationId: id });
  // A test of the system itself is recorded, and in no figure.
  const [synthetic = ''] = await decidedOn(database, 1);
  shadow.compare(seedName, { ...about, applicationId: synthetic, synthetic: true });
  await shadow[Symbol.asyncDispose]();
  expect(counted.toSorted()).toEqual(['same', 'unasked', 'unasked']);
  expect(await besides(database, id, synthetic)).toMatchObject([{ version: 2 }, { version: 2 }]);
});

test('a stop does not wait for a policy that gives no answer', async ({ database }) => {
  const ids = await decidedOn(database, 6);
  const endless = await storedEndless(database, 'endless-704');
  const { shadow, counted } = await shadowOf(database);
  ids.forEach((applicationId, index) =>
    shadow.compare(endless, { ...about, input: { ...about.input, score: 705 + index }, applicationId }),
  );
  const begun = performance.now();
  await shadow[Symbol.asyncDispose]();
  // Without a stop it would be given up after five seconds.
  expect(performance.now() - begun).toBeLessThan(5_000);
  expect(counted).toHaveLength(ids.length);
  expect(counted).toContain('unasked');
});

/** It does not end for scores from 705 to 739. */
async function storedEndless(database: TestDatabase, version: string) {
  const document = endlessAt(705).replace('score == 705 ?', '(score ?? 0) >= 705 and (score ?? 0) < 740 ?');
  return { version, hash: (await stored(database, version, document)).hash };
}

test('a policy that goes on for ever is left alone, and another one in its place is asked soon', async ({
  database,
}) => {
  const [last = '', later = '', behind = '', ...stuck] = await decidedOn(database, 27);
  const endless = await storedEndless(database, 'endless-705');
  const { shadow, counted } = await shadowOf(database);
  // Its document is read: questions are asked in the order in which they come.
  await shadow.warmUp(endless);
  stuck.forEach((applicationId, index) =>
    shadow.compare(endless, { ...about, input: { ...about.input, score: 705 + index }, applicationId }),
  );
  // Chosen in its place, and asked in the same moment: more are before it than are evaluated at once.
  shadow.compare(seedName, { ...about, applicationId: behind });
  const given = stuck.length + 1;
  await expect.poll(() => counted.length, { timeout: 15_000 }).toBe(given);
  // Those that were found to have no end are recorded, and the others not asked.
  expect(new Set(counted)).toEqual(new Set(['failed', 'unasked']));
  shadow.compare(endless, { ...about, applicationId: later });
  shadow.compare(seedName, { ...about, applicationId: last });
  await expect.poll(() => besides(database, last), { timeout: 10_000 }).toMatchObject([{ outcome: 'PRE_APPROVED' }]);
  expect(counted.slice(given).toSorted()).toEqual(['same', 'unasked']);
  await shadow[Symbol.asyncDispose]();
});
