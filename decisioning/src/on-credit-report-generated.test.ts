import { randomUUID } from 'node:crypto';
import { setPolicyMode, sql } from '@prequal/persistence';
import { policyHash } from '@prequal/policy';
import { decodeEvent } from '@prequal/schema';
import { type TestDatabase, test } from '@prequal/testing';
import { expect } from 'vitest';
import {
  endlessAt,
  handling,
  pendingApplication,
  report,
  scored,
  seed,
  settled,
  stored,
  traceId,
} from './deciding.fixture.ts';
import { onCreditReportsGenerated } from './on-credit-report-generated.ts';
import { createPolicies, type Policies } from './policies.ts';
import { createDocuments } from './policy-documents.ts';

async function stateOf(database: TestDatabase, id: string) {
  const rows = async (statement: ReturnType<typeof sql>) => (await statement.execute(database.sql())).rows;
  const [application] = await rows(sql`select status, version, cibil_score from applications where id = ${id}`);
  return {
    application,
    decisions: await rows(sql`select * from decisions where application_id = ${id}`),
    events: await rows(sql`select version, status, actor from application_events where application_id = ${id}`),
    outbox: await rows(sql`select id, subject, message from outbox where application_id = ${id}`),
  };
}

test('a decision is one change of status, one decision row with its evidence, one event and one message', async ({
  database,
}) => {
  const id = await pendingApplication(database);
  const { handle, sent, observed } = handling(database);
  expect(await handle(report(id))).toEqual([undefined]);
  expect(observed).toEqual(['PRE_APPROVED true']);
  const state = await stateOf(database, id);
  expect(state.application).toEqual({ status: 'PRE_APPROVED', version: 2, cibil_score: 700 });
  expect(state.events).toEqual([{ version: 2, status: 'PRE_APPROVED', actor: 'decisioning' }]);
  expect(state.decisions).toMatchObject([
    {
      outcome: 'PRE_APPROVED',
      decided_by: 'POLICY',
      policy_version: 'seed-1',
      policy_hash: policyHash(seed),
      inputs: { monthlyIncomeInr: '75000.00', loanAmountInr: '500000.00', loanType: 'HOME' },
      bureau_report: { result: 'SCORED', score: 700, bureau: 'simulated' },
    },
  ]);
  expect(sent).toMatchObject(state.outbox);
  const event = decodeEvent('statusChanged', sent[0]?.message ?? '');
  expect(event).toMatchObject({ subject: id, data: { status: 'PRE_APPROVED', version: 2, cibilScore: 700 } });
  expect(event.correlationid).toBe('a-correlation');
  expect(event.traceparent).toContain(traceId);
});

test('no history is MANUAL_REVIEW without a score', async ({ database }) => {
  const id = await pendingApplication(database);
  await handling(database).handle(report(id, { result: 'NO_HISTORY', bureau: 'simulated' }));
  const { application, decisions } = await stateOf(database, id);
  expect(application).toEqual({ status: 'MANUAL_REVIEW', version: 2, cibil_score: null });
  expect(decisions).toMatchObject([{ reasons: [{ code: 'NO_CREDIT_HISTORY' }] }]);
});

test('a redelivered, a duplicated and a contradicting report change nothing', async ({ database }) => {
  const id = await pendingApplication(database);
  const { handle, sent } = handling(database);
  const first = report(id, scored(700));
  // Twice in one batch, once more later, and then another score.
  expect(await handle(first, first)).toEqual([undefined, undefined]);
  const before = await stateOf(database, id);
  expect(await handle(first)).toEqual([undefined]);
  expect(await handle(report(id, scored(400)))).toEqual([undefined]);
  expect(await stateOf(database, id)).toEqual(before);
  expect(sent).toHaveLength(1);
});

test('a person who decided first is not overruled', async ({ database }) => {
  const id = await pendingApplication(database);
  await sql`update applications set status = 'MANUAL_REVIEW', version = 2 where id = ${id}`.execute(database.sql());
  const { handle, sent } = handling(database);
  expect(await handle(report(id))).toEqual([undefined]);
  expect((await stateOf(database, id)).application).toMatchObject({ status: 'MANUAL_REVIEW', version: 2 });
  expect(sent).toEqual([]);
});

test('two workers with the same report in hand decide once, and only one of them announces it', async ({
  database,
}) => {
  const id = await pendingApplication(database);
  const [one, two] = [handling(database), handling(database)];
  const waitingForLocks = async () =>
    (
      await sql`select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`.execute(
        database.sql(),
      )
    ).rows.length;
  // Both have read PENDING and wait for the row before either writes.
  const outcomes = await database
    .sql()
    .transaction()
    .execute(async (transaction) => {
      await sql`select 1 from applications where id = ${id} for update`.execute(transaction);
      const both = Promise.all([one.handle(report(id)), two.handle(report(id))]);
      await expect.poll(waitingForLocks).toBe(2);
      return { both };
    });
  expect(await outcomes.both).toEqual([[undefined], [undefined]]);
  const { application, decisions, outbox } = await stateOf(database, id);
  expect(application).toMatchObject({ status: 'PRE_APPROVED', version: 2 });
  expect([decisions.length, outbox.length, one.sent.length + two.sent.length]).toEqual([1, 1, 1]);
});

test('a report that changed hands while a person decided writes nothing', async ({ database }) => {
  const id = await pendingApplication(database);
  const { handle, sent } = handling(database);
  const { late } = await database
    .sql()
    .transaction()
    .execute(async (transaction) => {
      await sql`update applications set status = 'MANUAL_REVIEW', version = 2 where id = ${id}`.execute(transaction);
      const handled = handle(report(id));
      await expect
        .poll(
          async () =>
            (
              await sql`select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`.execute(
                database.sql(),
              )
            ).rows.length,
        )
        .toBe(1);
      return { late: handled };
    });
  expect(await late).toEqual([undefined]);
  expect(await stateOf(database, id)).toMatchObject({
    application: { status: 'MANUAL_REVIEW' },
    decisions: [],
    outbox: [],
  });
  expect(sent).toEqual([]);
});

test('an unknown application fails alone, and its neighbours are decided', async ({ database }) => {
  const id = await pendingApplication(database);
  const { handle } = handling(database);
  const [unknown, known] = await handle(report(randomUUID()), report(id));
  expect(unknown).toMatchObject({ name: 'UnknownApplicationError' });
  expect(known).toBeUndefined();
  expect((await stateOf(database, id)).decisions).toHaveLength(1);
});

async function decidedBy(database: TestDatabase, id: string) {
  const { rows } = await sql`
    select outcome, policy_version, policy_hash from decisions where application_id = ${id}`.execute(database.sql());
  return rows[0];
}

test('another policy decides from the next report on, and each decision names the one that made it', async ({
  database,
}) => {
  const { handle } = handling(database);
  const stricter = seed.replace('"value": "650"', '"value": "720"');
  expect(stricter).not.toBe(seed);
  const { hash } = await stored(database, 'seed-2', stricter);
  const ids = await Promise.all([1, 2, 3].map(() => pendingApplication(database)));
  await handle(report(ids[0] ?? ''));
  await setPolicyMode(database, { version: 'seed-2', mode: 'ACTIVE', by: 'a-test' });
  await handle(report(ids[1] ?? ''));
  await setPolicyMode(database, { version: 'seed-1', mode: 'ACTIVE', by: 'a-test' });
  await handle(report(ids[2] ?? ''));
  const [before, between, after] = await Promise.all(ids.map((id) => decidedBy(database, id)));
  const made = { outcome: 'PRE_APPROVED', policy_version: 'seed-1', policy_hash: policyHash(seed) };
  expect([before, after]).toMatchObject([made, made]);
  expect(between).toMatchObject({ outcome: 'REJECTED', policy_version: 'seed-2', policy_hash: hash });
});

test('an application on which the policy gives no verdict fails alone', async ({ database }) => {
  const { handle } = handling(database);
  await stored(database, 'no-poor', seed.replaceAll('>= minimumScore', '> 690'));
  await setPolicyMode(database, { version: 'no-poor', mode: 'ACTIVE', by: 'a-test' });
  const [undecided, decided] = [await pendingApplication(database), await pendingApplication(database)];
  const [failed, done] = await handle(report(undecided, scored(660)), report(decided));
  expect(failed).toMatchObject({ name: 'PolicyFaultError' });
  expect(done).toBeUndefined();
  expect((await stateOf(database, undecided)).application).toMatchObject({ status: 'PENDING' });
  expect((await stateOf(database, decided)).application).toMatchObject({ status: 'PRE_APPROVED' });
  await setPolicyMode(database, { version: 'seed-1', mode: 'ACTIVE', by: 'a-test' });
});

test('an application on which the policy goes on for ever fails alone, and others are decided', async ({
  database,
}) => {
  const { handle } = handling(database);
  await stored(database, 'endless-701', endlessAt(701));
  await setPolicyMode(database, { version: 'endless-701', mode: 'ACTIVE', by: 'a-test' });
  const [undecided, decided] = [await pendingApplication(database), await pendingApplication(database)];
  const [failed, done] = await handle(report(undecided, scored(701)), report(decided));
  expect(failed).toMatchObject({
    name: 'PolicyFaultError',
    message: expect.stringContaining('gives no verdict: UNFINISHED'),
  });
  expect(done).toBeUndefined();
  expect((await stateOf(database, decided)).application).toMatchObject({ status: 'PRE_APPROVED' });
  await setPolicyMode(database, { version: 'seed-1', mode: 'ACTIVE', by: 'a-test' });
});

test('many on which the policy goes on for ever hold up no other', async ({ database }) => {
  await using policies = createPolicies(createDocuments(database));
  const deps = { ...handling(database).deps, policies };
  await policies.warmUp({ version: 'seed-1', hash: policyHash(seed) });
  await stored(
    database,
    'endless-703',
    endlessAt(703).replace('score == 703 ?', '(score ?? 0) >= 703 and (score ?? 0) < 723 ?'),
  );
  await setPolicyMode(database, { version: 'endless-703', mode: 'ACTIVE', by: 'a-test' });
  const ids = await Promise.all(Array.from({ length: 60 }, () => pendingApplication(database)));
  const isStuck = (index: number) => index % 20 === 0;
  const begun = performance.now();
  const outcomes = await onCreditReportsGenerated(
    deps,
    ids.map((id, index) => report(id, scored(isStuck(index) ? 703 + index / 20 : 690))),
  );
  const all = Promise.allSettled(outcomes);
  const others = outcomes.filter((_, index) => !isStuck(index));
  expect(new Set(await Promise.all(others))).toEqual(new Set([undefined]));
  // They wait until it is clear that each of the three does not answer, and for no second try of it.
  expect(performance.now() - begun).toBeLessThan(12_000);
  deps.policies.stopWaiting();
  expect((await all).filter(({ status }) => status === 'rejected')).toHaveLength(3);
  await setPolicyMode(database, { version: 'seed-1', mode: 'ACTIVE', by: 'a-test' });
});

test('an application that changes each time it is decided on is left for later', async ({ database }) => {
  const id = await pendingApplication(database);
  const { deps } = handling(database);
  let times = 0;
  const changing = {
    ...deps.policies,
    decide: async (...asked: Parameters<Policies['decide']>) => {
      times += 1;
      // As an event that is added to its history meanwhile.
      await sql`update applications set event_hash = sha256(${randomUUID()}::bytea) where id = ${id}`.execute(
        database.sql(),
      );
      return deps.policies.decide(...asked);
    },
  };
  const [failed] = await settled(await onCreditReportsGenerated({ ...deps, policies: changing }, [report(id)]));
  expect(failed).toMatchObject({ message: expect.stringContaining('changed 3 times') });
  expect(times).toBe(3);
});
