import { randomUUID } from 'node:crypto';
import { test } from '@prequal/testing';
import { expect } from 'vitest';
import { type Database, sql } from './database.ts';
import {
  checkReplay,
  countDeadLetters,
  discardDeadLetter,
  findDeadLetter,
  listDeadLetters,
  replayDeadLetter,
} from './dead-letters.ts';

async function deadLetter(database: Database, payload: Buffer, errorClass = 'HANDLER_FAILED'): Promise<string> {
  const id = randomUUID();
  await sql`
    insert into dead_letters (id, consumer, subject, application_id, error_class, error, deliveries, payload)
    values (${id}, 'scoring', 'loan.applications.submitted.x', ${randomUUID()}, ${errorClass}, 'cannot', 6, ${payload})`.execute(
    database.sql(),
  );
  return id;
}

const outbox = async (database: Database) =>
  (
    await sql<{ id: string; subject: string; message: string }>`select id, subject, message from outbox`.execute(
      database.sql(),
    )
  ).rows;

test('a replayed message goes back to its subject under a new id, once', async ({ database }) => {
  const id = await deadLetter(database, Buffer.from(JSON.stringify({ specversion: '1.0', id: 'old', data: { a: 1 } })));
  const messageId = randomUUID();
  const replayed = await replayDeadLetter(database, { id, by: 'operator:test', messageId });
  expect(replayed).toMatchObject({ id, state: 'REPLAYED', resolvedBy: 'operator:test' });
  const [queued, ...others] = await outbox(database);
  expect(queued).toMatchObject({ id: messageId, subject: 'loan.applications.submitted.x' });
  expect(JSON.parse(queued?.message ?? '')).toEqual({ specversion: '1.0', id: messageId, data: { a: 1 } });
  const again = () => replayDeadLetter(database, { id, by: 'operator:test', messageId: randomUUID() });
  await expect(again()).rejects.toMatchObject({ code: 'ALREADY_RESOLVED' });
  await expect(discardDeadLetter(database, { id, by: 'x', reason: 'y' })).rejects.toMatchObject({
    code: 'ALREADY_RESOLVED',
  });
  expect(await outbox(database)).toHaveLength(1);
  expect(others).toEqual([]);
  await sql`delete from outbox`.execute(database.sql());
});

test('two operators replay one dead letter once', async ({ database }) => {
  const id = await deadLetter(database, Buffer.from('{'));
  const outcomes = await Promise.allSettled(
    Array.from({ length: 10 }, () => replayDeadLetter(database, { id, by: 'x', messageId: randomUUID() })),
  );
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  // What is no envelope goes back as it is.
  expect((await outbox(database)).map(({ message }) => message)).toEqual(['{']);
  await sql`delete from outbox`.execute(database.sql());
});

test.for([Buffer.from([0xff, 0xfe]), Buffer.from('a\u0000b'), Buffer.alloc(0)])(
  'a payload that is empty or no text is not replayed and stays open',
  async (payload, { database }) => {
    const id = await deadLetter(database, payload);
    await expect(replayDeadLetter(database, { id, by: 'x', messageId: randomUUID() })).rejects.toMatchObject({
      code: 'NOT_REPLAYABLE',
    });
    expect(await findDeadLetter(database, id)).toMatchObject({ state: 'OPEN', payload });
    expect(await outbox(database)).toEqual([]);
  },
);

test.for([
  'loan.dlq.stray',
  // Watchers listen to it: they would be told what never happened.
  'loan.applications.status.x',
])('a message from %s, which no worker listens to, is not replayed', async (subject, { database }) => {
  const id = await deadLetter(database, Buffer.from('{}'));
  await sql`update dead_letters set subject = ${subject} where id = ${id}`.execute(database.sql());
  await expect(replayDeadLetter(database, { id, by: 'x', messageId: randomUUID() })).rejects.toMatchObject({
    code: 'NOT_REPLAYABLE',
  });
  expect(await findDeadLetter(database, id)).toMatchObject({ state: 'OPEN' });
  expect(await outbox(database)).toEqual([]);
});

test('what was submitted by an applicant who is erased meanwhile is not replayed', async ({ database }) => {
  const id = await deadLetter(database, Buffer.from('{}'));
  await sql`
    with stored as (
      insert into applications (id, pan_ciphertext, pan_index, pan_masked, monthly_income_inr, loan_amount_inr, loan_type,
        status, version, correlation_id, synthetic)
      select application_id, '', '', '**********', 1, 1, 'HOME', 'REJECTED', 2, 'a-test', false
      from dead_letters where id = ${id} returning id)
    insert into erasures (application_id) select id from stored`.execute(database.sql());
  for (const attempt of [
    () => replayDeadLetter(database, { id, by: 'x', messageId: randomUUID() }),
    () => checkReplay(database, id),
  ]) {
    await expect(attempt()).rejects.toMatchObject({ code: 'NOT_REPLAYABLE', message: /erased/ });
  }
  expect(await findDeadLetter(database, id)).toMatchObject({ state: 'OPEN' });
  expect(await outbox(database)).toEqual([]);
});

test('a discarded dead letter keeps its reason and is counted no more', async ({ database }) => {
  const before = await countDeadLetters(database, 'OPEN');
  const id = await deadLetter(database, Buffer.from('{}'), 'INVALID_MESSAGE');
  expect(await countDeadLetters(database, 'OPEN')).toBe(before + 1);
  await discardDeadLetter(database, { id, by: 'operator:test', reason: 'a test of ours' });
  expect(await countDeadLetters(database, 'OPEN')).toBe(before);
  const [found] = await listDeadLetters(database, { state: 'DISCARDED', errorClass: 'INVALID_MESSAGE' }, 10);
  expect(found).toMatchObject({ id, resolution: 'a test of ours', resolvedBy: 'operator:test' });
  expect(found?.resolvedAt).toBeInstanceOf(Date);
});

test('they are listed newest first, by state, class and consumer', async ({ database }) => {
  const ids: string[] = [];
  for (let index = 0; index < 3; index += 1) ids.push(await deadLetter(database, Buffer.from('{}'), 'LISTED'));
  const list = async (filter: Parameters<typeof listDeadLetters>[1], limit = 10) =>
    (await listDeadLetters(database, filter, limit)).map(({ id }) => id);
  expect((await list({ errorClass: 'LISTED' })).toSorted()).toEqual(ids.toSorted());
  expect(await list({ errorClass: 'LISTED' }, 2)).toHaveLength(2);
  expect(await list({ errorClass: 'LISTED', consumer: 'decisioning' })).toEqual([]);
  expect(await list({ errorClass: 'LISTED', state: 'REPLAYED' })).toEqual([]);
});

test('an unknown dead letter is told from a resolved one', async ({ database }) => {
  const id = randomUUID();
  await expect(findDeadLetter(database, id)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  await expect(replayDeadLetter(database, { id, by: 'x', messageId: randomUUID() })).rejects.toMatchObject({
    code: 'NOT_FOUND',
  });
});
