import { randomUUID } from 'node:crypto';
import type { DeadLetter } from '@prequal/messaging';
import { type OutboxMessage, sql } from '@prequal/persistence';
import { createEvent, decodeEvent } from '@prequal/schema';
import { quiet, recordedLog, type TestDatabase, test } from '@prequal/testing';
import { expect, vi } from 'vitest';
import { onCreditReportsGenerated } from './on-credit-report-generated.ts';
import { onDeadLetter } from './on-dead-letter.ts';
import { policiesOf } from './policies.fixture.ts';
import type { Policies } from './policies.ts';
import { recordTogether } from './record-together.ts';

async function application(database: TestDatabase, status = 'PENDING', version = 1): Promise<string> {
  const id = randomUUID();
  await sql`
    insert into applications (id, pan_ciphertext, pan_index, pan_masked, monthly_income_inr, loan_amount_inr, loan_type,
      status, version, correlation_id, synthetic)
    values (${id}, '\\x00', '\\x00', 'ABCDE***4F', 75000, 500000, 'HOME', ${status}, ${version}, 'its-own', false)`.execute(
    database.sql(),
  );
  return id;
}

function deadLetter(applicationId: string | undefined, facts: Partial<DeadLetter> = {}): DeadLetter {
  return {
    id: randomUUID(),
    consumer: 'scoring',
    subject: `loan.applications.submitted.${applicationId ?? 'x'}`,
    applicationId,
    errorClass: 'HANDLER_FAILED',
    error: 'PanUnreadableError: the ciphertext is damaged',
    deliveries: 6,
    correlationId: 'a-correlation',
    traceparent: `00-${'e'.repeat(32)}-${'f'.repeat(16)}-01`,
    payload: Buffer.from([0x7b, 0x00, 0xff]),
    ...facts,
  };
}

function handling(database: TestDatabase) {
  const sent: OutboxMessage[] = [];
  const counted: string[] = [];
  const { log, lines } = recordedLog();
  const relay = { send: (messages: readonly OutboxMessage[]) => void sent.push(...messages) };
  const countDeadLetter = ({ id }: DeadLetter) => void counted.push(id);
  const handle = (letter: DeadLetter) =>
    onDeadLetter({ database, relay, newId: randomUUID, log, countDeadLetter }, letter);
  return { handle, sent, counted, lines };
}

const rows = async (database: TestDatabase, statement: ReturnType<typeof sql>) =>
  (await statement.execute(database.sql())).rows;

test('a dead letter is kept with all that is known of it, once', async ({ database }) => {
  const { handle, counted, lines } = handling(database);
  const letter = deadLetter(undefined);
  await handle(letter);
  await handle(letter);
  expect(await rows(database, sql`select * from dead_letters where id = ${letter.id}`)).toMatchObject([
    {
      state: 'OPEN',
      consumer: 'scoring',
      subject: 'loan.applications.submitted.x',
      application_id: null,
      error_class: 'HANDLER_FAILED',
      error: 'PanUnreadableError: the ciphertext is damaged',
      deliveries: 6,
      correlation_id: 'a-correlation',
      payload: Buffer.from([0x7b, 0x00, 0xff]),
      resolved_at: null,
    },
  ]);
  expect(counted).toEqual([letter.id]);
  expect(lines.filter((line) => line.includes('no application waits for it'))).toHaveLength(1);
});

test('the application behind it goes to an underwriter, and its watchers are told', async ({ database }) => {
  const id = await application(database);
  const { handle, sent } = handling(database);
  await handle(deadLetter(id));
  expect(await rows(database, sql`select status, version from applications where id = ${id}`)).toEqual([
    { status: 'MANUAL_REVIEW', version: 2 },
  ]);
  expect(
    await rows(
      database,
      sql`select outcome, decided_by, policy_version, bureau_report from decisions where application_id = ${id}`,
    ),
  ).toEqual([{ outcome: 'MANUAL_REVIEW', decided_by: 'SYSTEM', policy_version: null, bureau_report: null }]);
  const outbox = await rows(database, sql`select id, subject, message from outbox where application_id = ${id}`);
  expect(sent).toMatchObject(outbox);
  const event = decodeEvent('statusChanged', sent[0]?.message ?? '');
  expect(event).toMatchObject({
    subject: id,
    correlationid: 'its-own',
    data: { status: 'MANUAL_REVIEW', version: 2, cibilScore: null, reasons: [{ code: 'PROCESSING_FAILED' }] },
  });
  expect(event.traceparent).toContain('e'.repeat(32));
});

test.for(['PRE_APPROVED', 'REJECTED', 'MANUAL_REVIEW'])(
  'an application that is already %s stays as it is',
  async (status, { database }) => {
    const id = await application(database, status, 2);
    const { handle, sent } = handling(database);
    await handle(deadLetter(id));
    expect(await rows(database, sql`select status, version from applications where id = ${id}`)).toEqual([
      { status, version: 2 },
    ]);
    expect(await rows(database, sql`select 1 from dead_letters where application_id = ${id}`)).toHaveLength(1);
    expect(sent).toEqual([]);
  },
);

test('an application that nobody knows is no reason to fail', async ({ database }) => {
  const { handle, counted } = handling(database);
  const letter = deadLetter(randomUUID());
  await handle(letter);
  expect(counted).toEqual([letter.id]);
});

/** Decides on an application as its report comes. */
async function decide(
  database: TestDatabase,
  id: string,
  policies: Policies = policiesOf(database).policies,
): Promise<void> {
  const report = createEvent('creditReportGenerated', {
    id: randomUUID(),
    source: 'scoring',
    applicationId: id,
    time: new Date(),
    trace: { correlationId: 'a-correlation', traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` },
    data: { report: { result: 'SCORED', score: 700, bureau: 'simulated' } },
  });
  const relay = { send: () => undefined, sweep: () => undefined, [Symbol.asyncDispose]: async () => undefined };
  const deps = {
    database,
    policies,
    shadow: policiesOf(database).shadow,
    record: recordTogether(database),
    relay,
    newId: randomUUID,
    log: quiet,
    observe: () => undefined,
  };
  expect(await Promise.all(await onCreditReportsGenerated(deps, [report]))).toEqual([undefined]);
}

const decisionsOn = (database: TestDatabase, id: string) =>
  rows(database, sql`select version, decided_by from decisions where application_id = ${id} order by version`);

const givenUpThenDecided = [
  { version: 2, decided_by: 'SYSTEM' },
  { version: 3, decided_by: 'POLICY' },
];

test('what the system gave up is decided when its report comes after all, once', async ({ database }) => {
  const id = await application(database);
  await handling(database).handle(deadLetter(id));
  await decide(database, id);
  await decide(database, id);
  expect(await rows(database, sql`select status, version from applications where id = ${id}`)).toEqual([
    { status: 'PRE_APPROVED', version: 3 },
  ]);
  expect(await decisionsOn(database, id)).toEqual(givenUpThenDecided);
});

test('a report that meets the dead letter of its application decides on it all the same', async ({ database }) => {
  const id = await application(database);
  const policies = policiesOf(database).policies;
  let hasMet = false;
  await decide(database, id, {
    ...policies,
    // The application was read, and its decision is not written yet.
    decide: async (...asked) => {
      if (!hasMet) await handling(database).handle(deadLetter(id));
      hasMet = true;
      return policies.decide(...asked);
    },
  });
  expect(await decisionsOn(database, id)).toEqual(givenUpThenDecided);
});

test('of an application that was erased meanwhile nothing is kept, and its copies are looked for again', async ({
  database,
}) => {
  const id = await application(database, 'REJECTED', 2);
  await sql`insert into erasures (application_id, purge_at, purges) values (${id}, null, 3)`.execute(database.sql());
  const letter = deadLetter(id);
  await handling(database).handle(letter);
  expect(await rows(database, sql`select payload from dead_letters where id = ${letter.id}`)).toEqual([
    { payload: Buffer.alloc(0) },
  ]);
  expect(
    await rows(database, sql`select 1 from erasures where application_id = ${id} and purge_at <= now()`),
  ).toHaveLength(1);
});

test('a dead letter that comes while its application is being erased waits, and is kept without its message', async ({
  database,
}) => {
  const id = await application(database, 'REJECTED', 2);
  const letter = deadLetter(id);
  const { handled } = await database
    .sql()
    .transaction()
    .execute(async (erasing) => {
      await sql`select 1 from applications where id = ${id} for update`.execute(erasing);
      const started = handling(database).handle(letter);
      await vi.waitFor(async () => {
        const locked = await rows(
          database,
          sql`select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
        );
        expect(locked).toHaveLength(1);
      }, 10_000);
      await sql`insert into erasures (application_id, purge_at) values (${id}, null)`.execute(erasing);
      // In an object: it is to be waited for after the commit.
      return { handled: started };
    });
  await handled;
  expect(await rows(database, sql`select payload from dead_letters where id = ${letter.id}`)).toEqual([
    { payload: Buffer.alloc(0) },
  ]);
});
