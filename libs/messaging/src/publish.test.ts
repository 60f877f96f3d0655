import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type NatsServerUser, natsUrlFor, startNatsServer } from '@prequal/local-stack';
import { quiet, type TestNats, test } from '@prequal/testing';
import { type DiscardPolicy, headers } from 'nats';
import { describe, expect, inject, onTestFinished, vi } from 'vitest';
import { BrokerAwayError, connectBroker } from './connect.ts';
import { report } from './credit-report.fixture.ts';
import { provision } from './provision.ts';
import { publishMessage, toMessage } from './publish.ts';

async function provisioned({ broker }: TestNats) {
  const { jsm } = await broker.jetStream();
  await provision(jsm, { replicas: 1, ackWaitMs: 1_000 });
  return jsm;
}

const stored = 'LOAN_CREDIT_REPORTS';

/** A nats-server with one user, who may do no more than this, and its connection. */
async function serverFor(permissions: NatsServerUser['permissions'] & {}) {
  const user = { user: 'limited', password: 'limited', permissions };
  const storeDir = await mkdtemp(path.join(tmpdir(), 'prequal-limited-'));
  const server = await startNatsServer({ binary: inject('natsServerBinary'), storeDir, port: 0, users: [user] });
  const broker = connectBroker({ natsUrl: natsUrlFor(server.url, user), name: 'limited', log: quiet });
  await vi.waitFor(() => expect(broker.isConnected()).toBe(true), 10_000);
  return {
    broker,
    [Symbol.asyncDispose]: async () => {
      await broker[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
      await rm(storeDir, { recursive: true });
    },
  };
}

test('a message is published when its stream has it, once for each id, with what traces it', async ({ nats }) => {
  const jsm = await provisioned(nats);
  const event = report();
  const message = toMessage('creditReportGenerated', event);
  await Promise.all([publishMessage(nats.broker, message), publishMessage(nats.broker, message)]);
  const { state } = await jsm.streams.info(stored, { subjects_filter: message.subject });
  expect(state.subjects).toEqual({ [message.subject]: 1 });
  const { header, data } = await jsm.streams.getMessage(stored, { last_by_subj: message.subject });
  expect(new TextDecoder().decode(data)).toBe(message.message);
  expect(['Nats-Msg-Id', 'traceparent', 'correlation-id'].map((name) => header.get(name))).toEqual([
    event.id,
    event.traceparent,
    event.correlationid,
  ]);
});

test('an acknowledgement that comes again settles no other message, which may have the place of the first', async ({
  nats,
}) => {
  const { broker } = nats;
  const acknowledgement = '{"stream":"any","seq":1}';
  const asked: string[] = [];
  const stops = [
    broker.subscribe('answered-twice', ({ reply = '' }) => {
      asked.push(reply);
      broker.send(reply, { payload: acknowledgement, replyTo: 'nobody' });
    }),
    broker.subscribe('answered-late', ({ reply = '' }) => asked.push(reply)),
  ];
  await broker.flush();
  await broker.publish('answered-twice', '{}', headers());
  const other = vi.fn<() => void>();
  void broker.publish('answered-late', '{}', headers()).then(other, () => undefined);
  await vi.waitFor(() => expect(asked).toHaveLength(2));
  const [first = '', second = ''] = asked;
  broker.send(first, { payload: acknowledgement, replyTo: 'nobody' });
  await broker.flush();
  expect(other).not.toHaveBeenCalled();
  broker.send(second, { payload: acknowledgement, replyTo: 'nobody' });
  await vi.waitFor(() => expect(other).toHaveBeenCalledOnce());
  for (const stop of stops) stop();
});

test('what traces a message is taken as it was handed along', async ({ nats }) => {
  const jsm = await provisioned(nats);
  const trace = { correlationid: 'handed-along', traceparent: `00-${'c'.repeat(32)}-${'d'.repeat(16)}-01` };
  const message = toMessage('creditReportGenerated', report());
  expect(message.trace).toMatchObject({ correlationid: 'a-test' });
  await publishMessage(nats.broker, { ...message, trace });
  const { header } = await jsm.streams.getMessage(stored, { last_by_subj: message.subject });
  expect([header.get('correlation-id'), header.get('traceparent')]).toEqual([trace.correlationid, trace.traceparent]);
});

test('what an outbox gave back is traced by what its envelope says', async ({ nats }) => {
  const jsm = await provisioned(nats);
  const event = report();
  const { trace: _, ...row } = toMessage('creditReportGenerated', event);
  await publishMessage(nats.broker, row);
  const { header } = await jsm.streams.getMessage(stored, { last_by_subj: row.subject });
  expect(header.get('traceparent')).toBe(event.traceparent);
});

test.for([
  ['written with its trace', (message: string) => message, { correlationid: 'a\r\nb', traceparent: '00-0-0-01' }],
  ['whose envelope has it', (message: string) => message.replace('"a-test"', '"a\\r\\nb"'), undefined],
  ['that is no envelope', () => '{', undefined],
] as const)('no header is made of what cannot be one, in a message %s', async ([, change, trace], { nats }) => {
  const jsm = await provisioned(nats);
  const { trace: _, ...row } = toMessage('creditReportGenerated', report());
  const message = change(row.message);
  await publishMessage(nats.broker, { ...row, message, ...(trace && { trace }) });
  const { header } = await jsm.streams.getMessage(stored, { last_by_subj: row.subject });
  expect([...header.keys()].filter((name) => name !== 'Nats-Msg-Id')).toEqual([]);
});

describe('nothing is taken for published that', () => {
  test('no stream takes', async ({ nats }) => {
    await nats.broker.jetStream();
    const published = nats.broker.publish('nobody.listens', '{}', headers());
    await expect(published).rejects.toMatchObject({
      name: 'BrokerAwayError',
      cause: { message: expect.stringMatching('no stream') },
    });
  });

  test('a full stream refuses', async ({ nats }) => {
    const { jsm } = await nats.broker.jetStream();
    await jsm.streams.add({ name: 'SMALL', subjects: ['small'], max_msgs: 1, discard: 'new' as DiscardPolicy });
    await nats.broker.publish('small', 'first', headers());
    const second = nats.broker.publish('small', 'second', headers());
    await expect(second).rejects.toMatchObject({
      name: 'BrokerAwayError',
      cause: { message: expect.stringMatching('maximum messages') },
    });
  });

  test.for(['{}', 'null', 'no JSON'])('somebody else answers with %s', async (payload, { nats }) => {
    await nats.broker.jetStream();
    const unsubscribe = nats.broker.subscribe('answered', ({ reply = '' }) =>
      nats.broker.send(reply, { payload, replyTo: 'x' }),
    );
    onTestFinished(unsubscribe);
    const published = nats.broker.publish('answered', '{}', headers());
    await expect(published).rejects.toMatchObject({ cause: { message: expect.stringMatching('no acknowledgement') } });
  });

  test('nobody answers within five seconds, while others are answered', async ({ nats }) => {
    await provisioned(nats);
    nats.broker.subscribe('unanswered', () => undefined);
    const begun = performance.now();
    const published = nats.broker.publish('unanswered', '{}', headers());
    published.catch(() => undefined);
    await publishMessage(nats.broker, toMessage('creditReportGenerated', report()));
    expect(performance.now() - begun).toBeLessThan(4_000);
    await expect(published).rejects.toMatchObject({ cause: { message: expect.stringMatching('within 5 s') } });
    expect(performance.now() - begun).toBeGreaterThan(4_990);
  });

  test('a user may not publish, told at once, and the rest goes on', async () => {
    await using server = await serverFor({ publish: { allow: ['$JS.API.>', 'allowed'] }, subscribe: { allow: ['>'] } });
    const { broker } = server;
    const { jsm } = await broker.jetStream();
    await jsm.streams.add({ name: 'BOTH', subjects: ['allowed', 'denied'] });
    const begun = performance.now();
    const denied = broker.publish('denied', '{}', headers());
    await expect(denied).rejects.toMatchObject({ cause: { message: expect.stringContaining('may not publish') } });
    expect(performance.now() - begun).toBeLessThan(4_000);
    await broker.publish('allowed', '{}', headers());
  });

  test('a user may not be answered, and it goes on hearing what it may', async () => {
    await using server = await serverFor({ publish: { allow: ['>'] }, subscribe: { allow: ['heard'] } });
    const { broker } = server;
    const heard: string[] = [];
    broker.subscribe('heard', (message) => heard.push(message.string()));
    await broker.flush();
    for (const round of ['first', 'second']) {
      const published = broker.publish('anything', '{}', headers());
      await expect(published).rejects.toMatchObject({ cause: { message: expect.stringMatching(/permissions/i) } });
      broker.send('heard', { payload: round, replyTo: 'x' });
      await expect.poll(() => heard.at(-1)).toBe(round);
    }
  });

  test('was on its way when the connection was closed', async ({ nats }) => {
    const broker = connectBroker({ natsUrl: nats.url, name: 'closing', log: quiet });
    await broker.jetStream();
    broker.subscribe('unanswered', () => undefined);
    const published = broker.publish('unanswered', '{}', headers());
    published.catch(() => undefined);
    await broker.flush();
    await broker[Symbol.asyncDispose]();
    await expect(published).rejects.toMatchObject({ cause: { message: expect.stringMatching('closed') } });
    await expect(broker.publish('unanswered', '{}', headers())).rejects.toThrow(BrokerAwayError);
  });
});
