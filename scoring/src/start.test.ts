import { randomBytes, randomUUID } from 'node:crypto';
import { provision, publishMessage, toMessage } from '@prequal/messaging';
import { createPanEncrypter, keyRing } from '@prequal/pan';
import { createEvent, decodeEvent } from '@prequal/schema';
import { type TestNats, test } from '@prequal/testing';
import { expect, vi } from 'vitest';
import { startBureauSimulator } from '../simulator/start.ts';
import { startScoring } from './start.ts';

const keys = `test:${randomBytes(32).toString('base64')}`;
const newIds = (count: number) => Array.from({ length: count }, () => randomUUID() as string);
const encryptPan = createPanEncrypter(keyRing.parse(keys));

/** A real scoring worker that asks a real bureau, with little patience. */
async function scoringWith(nats: TestNats) {
  const owned = new AsyncDisposableStack();
  const { jsm } = await nats.broker.jetStream();
  // As decisioning does.
  await provision(jsm, { replicas: 1, ackWaitMs: 30_000 });
  const bureau = owned.use(await startBureauSimulator({ BUREAU_PORT: '0', LOG_LEVEL: 'silent' }));
  const scoring = owned.use(
    await startScoring({
      NATS_URL: nats.urls.scoring,
      PAN_ENCRYPTION_KEYS: keys,
      SCORING_PORT: '0',
      LOG_LEVEL: 'silent',
      CONSUMER_RETRY_DELAYS_MS: '0,50,100',
      BUREAU_URL: `${bureau.url}/`,
      BUREAU_RETRY_BASE_MS: '1',
      BUREAU_BREAKER_RESET_MS: '1500',
    }),
  );
  await vi.waitFor(async () => expect((await fetch(`${scoring.url}/readyz`)).status).toBe(200), 10_000);
  for (const stream of ['LOAN_APPLICATIONS', 'LOAN_CREDIT_REPORTS', 'LOAN_DLQ']) await jsm.streams.purge(stream);
  return {
    behave: async (behaviour: object) => {
      const body = JSON.stringify(behaviour);
      expect((await fetch(`${bureau.url}/behaviour`, { method: 'PUT', body })).status).toBe(200);
    },
    figure: async (name: string) => {
      const text = await (await fetch(`${scoring.url}/metrics`)).text();
      return Number(
        text
          .split('\n')
          .find((line) => line.startsWith(name))
          ?.split(' ')
          .at(-1) ?? 0,
      );
    },
    messages: async (stream: string) => (await jsm.streams.info(stream)).state.messages,
    scored: async () => {
      const subjects = await jsm.streams.info('LOAN_CREDIT_REPORTS', { subjects_filter: '>' });
      return Object.keys(subjects.state.subjects ?? {}).map((subject) => subject.split('.').at(-1));
    },
    unsettled: async () => {
      const { num_pending, num_ack_pending } = await jsm.consumers.info('LOAN_APPLICATIONS', 'scoring');
      return num_pending + num_ack_pending;
    },
    jsm,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function submit(nats: TestNats, ids: string[]): Promise<void> {
  for (const applicationId of ids) {
    const event = createEvent('applicationSubmitted', {
      id: randomUUID(),
      source: 'gateway',
      applicationId,
      time: new Date(),
      trace: { correlationId: 'c-1', traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` },
      data: {
        panCiphertext: encryptPan('PQRSX9876Z', applicationId).toString('base64'),
        monthlyIncomeInr: 50_000_00,
        loanAmountInr: 500_000_00,
        loanType: 'AUTO',
      },
    });
    await publishMessage(nats.broker, toMessage('applicationSubmitted', event));
  }
}

test('while the bureau is away scoring pauses, and when it is back every application is scored and none was given up', async ({
  nats,
}) => {
  await using stack = await scoringWith(nats);
  const [before, during] = [newIds(3), newIds(20)];
  await submit(nats, before);
  await vi.waitFor(async () => expect(await stack.scored()).toHaveLength(3), 10_000);
  await stack.behave({ behaviour: 'unavailable' });
  await submit(nats, during);
  await vi.waitFor(async () => expect(await stack.figure('prequal_bureau_breaker_state')).toBe(1), 10_000);
  // All have failed, and some again: were it held against them, they would be given up within a second.
  await vi.waitFor(
    async () => {
      expect(await stack.figure('prequal_bureau_calls_total{outcome="breaker_open"')).toBeGreaterThanOrEqual(1);
      expect(await stack.figure('prequal_messages_total{consumer="scoring",outcome="put_off"')).toBeGreaterThan(5);
    },
    { timeout: 50_000, interval: 200 },
  );
  expect(await stack.messages('LOAN_DLQ')).toBe(0);
  expect(await stack.scored()).toHaveLength(3);
  await stack.behave({ behaviour: 'normal' });
  await vi.waitFor(async () => expect(await stack.scored()).toHaveLength(23), { timeout: 50_000, interval: 200 });
  expect(new Set(await stack.scored())).toEqual(new Set([...before, ...during]));
  await vi.waitFor(async () => expect(await stack.unsettled()).toBe(0), 10_000);
  expect(await stack.messages('LOAN_DLQ')).toBe(0);
  expect(await stack.figure('prequal_bureau_breaker_state')).toBe(0);
});

test('a bureau that always lies about one application costs that one alone a dead letter', async ({ nats }) => {
  await using stack = await scoringWith(nats);
  const [others, applicationId] = [newIds(20), randomUUID()];
  await stack.behave({ behaviour: 'lying', lie: 'notJson', applicationId });
  await submit(nats, [...others.slice(0, 10), applicationId, ...others.slice(10)]);
  await vi.waitFor(async () => expect(await stack.messages('LOAN_DLQ')).toBe(1), 20_000);
  await vi.waitFor(async () => expect(await stack.scored()).toHaveLength(20), 10_000);
  expect(new Set(await stack.scored())).toEqual(new Set(others));
  const dead = await stack.jsm.streams.getMessage('LOAN_DLQ', { last_by_subj: `loan.dlq.scoring.${applicationId}` });
  expect(dead.header.get('prequal-error-class')).toBe('HANDLER_FAILED');
  expect(dead.header.get('prequal-error')).toBe("BureauError: the bureau's answer is not JSON");
  expect(dead.string()).not.toContain('PQRSX9876Z');
  expect(decodeEvent('applicationSubmitted', dead.string()).subject).toBe(applicationId);
  await vi.waitFor(async () => expect(await stack.unsettled()).toBe(0), 10_000);
});

test('an application without history at the bureau is told so, not given up', async ({ nats }) => {
  await using stack = await scoringWith(nats);
  await stack.behave({ behaviour: 'notFound' });
  const applicationId = randomUUID();
  await submit(nats, [applicationId]);
  await vi.waitFor(async () => expect(await stack.scored()).toEqual([applicationId]), 10_000);
  const report = await stack.jsm.streams.getMessage('LOAN_CREDIT_REPORTS', {
    last_by_subj: `loan.credit-reports.generated.${applicationId}`,
  });
  expect(decodeEvent('creditReportGenerated', report.string()).data).toEqual({
    report: { result: 'NO_HISTORY', bureau: '127.0.0.1' },
  });
});
