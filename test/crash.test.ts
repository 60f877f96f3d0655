import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { sql } from '@prequal/persistence';
import { connectClient, type TestDatabase } from '@prequal/testing';
import { expect, vi } from 'vitest';
import { test as base, goodInput, submit, submitDocument, type TestStack, watchToEnd } from './stack.ts';

/** Nothing but redelivery and the outbox is to repair what a crash left; what is given back late does not count. */
const test = base.extend<{ $file: { settings: NodeJS.ProcessEnv } }>({
  settings: [
    // oxlint-disable-next-line eslint/no-empty-pattern -- vitest reads the parameter's pattern
    async ({}, use) => {
      await use({ CONSUMER_ACK_WAIT_MS: '1000', RECONCILE_AFTER_MS: '600000', STATUS_SWEEP_MS: '600000' });
    },
    { scope: 'file' },
  ],
});

const entry = join(import.meta.dirname, 'dying-service.ts');

/** Answers once it is ready. */
async function startDying(name: 'gateway' | 'scoring' | 'decisioning', env: NodeJS.ProcessEnv) {
  const child = fork(entry, [name], { env: { ...process.env, ...env }, execArgv: [] });
  const exited = once(child, 'exit').then(() => 'died' as const);
  const [message] = await once(child, 'message');
  const url = (message as { listening: string }).listening;
  await vi.waitFor(async () => expect((await fetch(`${url}/readyz`)).status).toBe(200), 10_000);
  return {
    url,
    exited,
    dieAt: async (step: number) => {
      child.send(step);
      await once(child, 'message');
    },
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

async function expectDecidedOnce(database: TestDatabase, id: string): Promise<void> {
  const rows = async (statement: ReturnType<typeof sql>) => (await statement.execute(database.sql())).rows;
  expect(await rows(sql`select decided_by, outcome from decisions where application_id = ${id}`)).toEqual([
    { decided_by: 'POLICY', outcome: 'PRE_APPROVED' },
  ]);
  expect(
    await rows(sql`select version, status from application_events where application_id = ${id} order by version`),
  ).toEqual([
    { version: 1, status: 'PENDING' },
    { version: 2, status: 'PRE_APPROVED' },
  ]);
  expect(await rows(sql`select 1 from dead_letters`)).toEqual([]);
  await vi.waitFor(async () => expect(await rows(sql`select 1 from outbox`)).toEqual([]), 10_000);
}

/** An application takes fewer; what is sent later is the routine of an idle service. */
const mostSteps = 6;

/** Goes on with a later step until the service lives through all of them. Answers at how many it died. */
async function dieAtEveryStep(dieAt: (step: number) => Promise<'died' | 'done'>): Promise<number> {
  for (let step = 1; step <= mostSteps; step += 1) if ((await dieAt(step)) === 'done') return step - 1;
  return mostSteps;
}

async function dieWhileWorking(name: 'scoring' | 'decisioning', stack: TestStack, database: TestDatabase) {
  return dieAtEveryStep(async (step) => {
    const replaced = await stack.without(name);
    await using dying = await startDying(name, stack.envOf(name));
    await dying.dieAt(step);
    const id = await submit(stack.client);
    const end = watchToEnd(stack.otherClient, id);
    // What comes after the decision was pushed: rows of the outbox are removed, the message is acknowledged.
    const outcome = await Promise.race([dying.exited, end.then(() => delay(500, 'done' as const))]);
    await replaced[Symbol.asyncDispose]();
    // It may have begun after the decision; that nothing is missing between is another test's.
    expect((await end).at(-1)).toMatchObject({ version: 2, status: 'PRE_APPROVED' });
    await expectDecidedOnce(database, id);
    return outcome;
  });
}

test.for(['scoring', 'decisioning'] as const)(
  'whatever the step at which %s dies, the application is decided once and its watcher sees the end',
  { timeout: 300_000 },
  async (name, { stack, database }) => {
    expect(await dieWhileWorking(name, stack, database)).toBeGreaterThanOrEqual(2);
  },
);

test('whatever the step at which a gateway dies, a submission that is sent again is stored and decided once', {
  timeout: 300_000,
}, async ({ stack, database }) => {
  const steps = await dieAtEveryStep(async (step) => {
    const input = { ...goodInput, idempotencyKey: `a crash at step ${step}` };
    await using dying = await startDying('gateway', stack.envOf('gateway'));
    await using client = connectClient(dying.url);
    await dying.dieAt(step);
    const answered = await client.request(submitDocument, { input }).catch(() => undefined);
    // What comes after the answer: the outbox row is removed.
    const outcome = await Promise.race([dying.exited, delay(answered ? 500 : 5_000, 'done' as const)]);
    const again = await stack.client.request(submitDocument, { input });
    const { id } = again.data.submitApplication.application;
    if (answered) expect(answered.data.submitApplication.application.id).toBe(id);
    expect((await watchToEnd(stack.otherClient, id)).at(-1)).toMatchObject({ version: 2, status: 'PRE_APPROVED' });
    await expectDecidedOnce(database, id);
    return outcome;
  });
  expect(steps).toBeGreaterThanOrEqual(3);
});
