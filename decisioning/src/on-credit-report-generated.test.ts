import { randomUUID } from 'node:crypto';
import { type OutboxMessage, setPolicyMode, sql, storePolicy } from '@prequal/persistence';
import { policyHash, shippedPolicies } from '@prequal/policy';
import { type BureauReport, createEvent, decodeEvent, type EventOf } from '@prequal/schema';
import { quiet, type TestDatabase, test } from '@prequal/testing';
import { expect } from 'vitest';
import { onCreditReportsGenerated } from './on-credit-report-generated.ts';
import { policiesOf } from './policies.fixture.ts';
import { createPolicies, type Policies } from './policies.ts';
import { recordTogether } from './record-together.ts';

const seed = shippedPolicies().find(({ version }) => version === 'seed-1')?.document ?? '';

const traceId = 'c'.repeat(32);

function report(applicationId: string, bureauReport: BureauReport = scored(700)): EventOf<'creditReportGenerated'> {
  return createEvent('creditReportGenerated', {
    id: randomUUID(),
    source: 'scoring',
    applicationId,
    time: new Date(),
    trace: { correlationId: 'a-correlation', traceparent: `00-${traceId}-${'d'.repeat(16)}-01` },
    data: { report: bureauReport },
  });
}

function scored(score: number): BureauReport {
  return { result: 'SCORED', score, bureau: 'simulated' };
}

async function pendingApplication(database: TestDatabase, { income = '75000.00', amount = '500000.00' } = {}) {
  const id = randomUUID();
  await sql`
    insert into applications (id, pan_ciphertext, pan_index, pan_masked, monthly_income_inr, loan_amount_inr, loan_type,
      status, version, correlation_id, synthetic)
    values (${id}, '\\x00', '\\x00', 'ABCDE***4F', ${income}, ${amount}, 'HOME', 'PENDING', 1, 'x', false)`.execute(
    database.sql(),
  );
  return id;
}

/** What became of each in the end. */
async function settled(outcomes: Awaited<ReturnType<typeof onCreditReportsGenerated>>) {
  const ends = await Promise.allSettled(outcomes);
  return ends.map((end) => (end.status === 'fulfilled' ? end.value : (end.reason as Error)));
}

/** The handler with a relay that remembers what it was given to publish. */
function handling(database: TestDatabase) {
  const sent: OutboxMessage[] = [];
  const relay = {
    send: (messages: readonly OutboxMessage[]) => void sent.push(...messages),
    sweep: () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  };
  const observed: string[] = [];
  const observe = (outcome: string, seconds: number) => void observed.push(`${outcome} ${seconds < 60}`);
  const policies = policiesOf(database);
  const deps = { database, relay, policies, record: recordTogether(database), newId: randomUUID, log: quiet, observe };
  const ready = policies.warmUp();
  const handle = async (...reports: EventOf<'creditReportGenerated'>[]) => {
    await ready;
    return settled(await onCreditReportsGenerated(deps, reports));
  };
  return { handle, deps, sent, observed };
}

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
      shadow: { version: 'foir-1', outcome: expect.any(String), reasons: expect.any(Array) },
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

/** A document that is stored without a check. */
async function stored(database: TestDatabase, version: string, document: string) {
  return storePolicy(database, { version, document, hash: policyHash(document), by: 'a-test' });
}

async function decidedBy(database: TestDatabase, id: string) {
  const { rows } = await sql`
    select outcome, policy_version, policy_hash, shadow from decisions where application_id = ${id}`.execute(
    database.sql(),
  );
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

test('a shadow policy that gives no verdict changes nothing but what is recorded beside the decision', async ({
  database,
}) => {
  const { handle } = handling(database);
  await stored(database, 'no-rows', seed.replaceAll('>= minimumScore', '> 900'));
  await setPolicyMode(database, { version: 'no-rows', mode: 'SHADOW', by: 'a-test' });
  const id = await pendingApplication(database);
  await handle(report(id));
  expect(await decidedBy(database, id)).toMatchObject({
    outcome: 'PRE_APPROVED',
    policy_version: 'seed-1',
    shadow: { version: 'no-rows', error: expect.stringContaining('No row decides') },
  });
  await setPolicyMode(database, { version: 'no-rows', mode: 'INACTIVE', by: 'a-test' });
  const later = await pendingApplication(database);
  await handle(report(later));
  expect(await decidedBy(database, later)).toMatchObject({ outcome: 'PRE_APPROVED', shadow: null });
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

/** `seed-1`, but for one score it does not come to an end. */
const endlessAt = (score: number) => {
  const list = JSON.stringify(Array.from({ length: 60 }, (_, index) => index));
  const endless = Array.from({ length: 8 }).reduce<string>((inner) => `sum(map(${list}, ${inner}))`, '#');
  return seed.replace('"value": "650"', `"value": "score == ${score} ? ${endless} : 650"`);
};

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

test('many on which the policy goes on for ever hold up no other', { timeout: 60_000 }, async ({ database }) => {
  await using policies = createPolicies(database, quiet);
  const deps = { ...handling(database).deps, policies };
  await policies.warmUp();
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

test('a shadow policy that goes on for ever delays one batch, and what is decided meanwhile not at all', async ({
  database,
}) => {
  const { handle } = handling(database);
  await stored(database, 'endless-702', endlessAt(702));
  await setPolicyMode(database, { version: 'endless-702', mode: 'SHADOW', by: 'a-test' });
  const [first, ...later] = await Promise.all(Array.from({ length: 21 }, () => pendingApplication(database)));
  await handle(report(first ?? '', scored(702)));
  const begun = performance.now();
  for (const id of later) expect(await handle(report(id))).toEqual([undefined]);
  // Each of the twenty would wait for as long as the first one did.
  expect(performance.now() - begun).toBeLessThan(20 * 100);
  const all = await Promise.all([first ?? '', ...later].map((id) => decidedBy(database, id)));
  for (const one of all) expect(one).toMatchObject({ outcome: 'PRE_APPROVED', shadow: { version: 'endless-702' } });
  expect(all[0]).toMatchObject({ shadow: { error: 'It gave no verdict within 100 ms.' } });
  expect(all[1]).toMatchObject({ shadow: { error: expect.stringContaining('busy with an earlier application') } });
  await setPolicyMode(database, { version: 'foir-1', mode: 'SHADOW', by: 'a-test' });
  await expect
    .poll(
      async () => {
        const id = await pendingApplication(database);
        await handle(report(id));
        return decidedBy(database, id);
      },
      { timeout: 10_000 },
    )
    .toMatchObject({ shadow: { version: 'foir-1', outcome: expect.any(String) } });
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
