import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createEvent, streams } from '@prequal/schema';
import { createMetrics } from '@prequal/service';
import { quiet, recordedLog, type TestNats, test } from '@prequal/testing';
import { expect, vi } from 'vitest';
import { connectBroker } from './connect.ts';
import { type ConsumeOptions, consume, oneByOne } from './consume.ts';
import { type Report, report } from './credit-report.fixture.ts';
import { keepProvisioned, provision } from './provision.ts';
import { publishMessage, toMessage } from './publish.ts';

const provisioning = { replicas: 1, ackWaitMs: 30_000 };

/** A consumer whose handler remembers what it was given. */
function consuming(nats: TestNats, options: Partial<ConsumeOptions<Report>> = {}) {
  const handled: string[] = [];
  const consumer = consume('decisioning', {
    broker: nats.broker,
    log: quiet,
    metrics: createMetrics('test'),
    provisioning,
    retryDelaysMs: [0, 100],
    limits: { maxItems: 50, maxConcurrent: 2 },
    isOutage: () => false,
    handle: async (events) => {
      handled.push(...events.map((event) => event.id));
      return events.map(() => undefined);
    },
    ...options,
  });
  return { consumer, handled };
}

const submitted = () =>
  createEvent('applicationSubmitted', {
    id: randomUUID(),
    source: 'gateway',
    applicationId: randomUUID(),
    time: new Date(),
    trace: { correlationId: 'c-1', traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` },
    data: { panCiphertext: 'AAAA', monthlyIncomeInr: 50_000_00, loanAmountInr: 500_000_00, loanType: 'AUTO' },
  });

const send = (nats: TestNats, event: Report) => publishMessage(nats.broker, toMessage('creditReportGenerated', event));

async function ready(nats: TestNats): Promise<void> {
  const { jsm } = await nats.broker.jetStream();
  await provision(jsm, provisioning);
}

async function unsettled(nats: TestNats): Promise<number> {
  const { jsm } = await nats.broker.jetStream();
  const { num_pending, num_ack_pending } = await jsm.consumers.info('LOAN_CREDIT_REPORTS', 'decisioning');
  return num_pending + num_ack_pending;
}

test('the streams are what the pipeline map says, and provisioning again changes nothing', async ({ nats }) => {
  await ready(nats);
  await ready(nats);
  const { jsm } = await nats.broker.jetStream();
  const found = await jsm.streams.list().next();
  expect(found.map(({ config }) => config.name).toSorted()).toEqual(Object.keys(streams).toSorted());
  for (const { config } of found) {
    const { subjects, maxAgeMs, discard } = streams[config.name as keyof typeof streams];
    expect(config).toMatchObject({ subjects, max_age: maxAgeMs * 1e6, discard, storage: 'file', retention: 'limits' });
    expect(config.duplicate_window).toBe(300 * 1e9);
  }
});

test('each message is handled once and acknowledged', async ({ nats }) => {
  await ready(nats);
  const events = Array.from({ length: 300 }, () => report());
  await Promise.all(events.map((event) => send(nats, event)));
  const { consumer, handled } = consuming(nats);
  await using _ = consumer;
  await vi.waitFor(() => expect(handled).toHaveLength(300), 10_000);
  await vi.waitFor(async () => expect(await unsettled(nats)).toBe(0), 10_000);
  expect(new Set(handled)).toEqual(new Set(events.map((event) => event.id)));
});

test('the same event published twice is delivered once', async ({ nats }) => {
  await ready(nats);
  const { consumer, handled } = consuming(nats);
  await using _ = consumer;
  const [twice, after] = [report(), report()];
  await send(nats, twice);
  await send(nats, twice);
  await send(nats, after);
  await vi.waitFor(() => expect(handled).toContain(after.id), 10_000);
  expect(handled).toEqual([twice.id, after.id]);
});

test('a message that a busy process takes up late is handled then, and not only when it is delivered again', async ({
  nats,
}) => {
  await ready(nats);
  const { consumer, handled } = consuming(nats);
  await using _ = consumer;
  await vi.waitUntil(() => consumer.isConsuming(), 10_000);
  for (let round = 0; round < 3; round += 1) {
    const event = report();
    const sent = send(nats, event);
    await nextTurn();
    // Longer than a request for messages stays open; the server has delivered long before that.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_200);
    await vi.waitFor(() => expect(handled).toContain(event.id), 10_000);
    await sent;
  }
});

test('a malformed message is dead-lettered with its cause and does not stop the consumer', async ({ nats }) => {
  await ready(nats);
  const { js, jsm } = await nats.broker.jetStream();
  const { consumer, handled } = consuming(nats);
  await using _ = consumer;
  const applicationId = randomUUID();
  const wrongSubject = JSON.stringify({ ...report(), time: new Date().toISOString() });
  for (const data of ['{', '{}', wrongSubject, '\u0000'.repeat(10)]) {
    await js.publish(`loan.credit-reports.generated.${applicationId}`, data);
  }
  const good = report();
  await send(nats, good);
  await vi.waitFor(() => expect(handled).toContain(good.id), 10_000);
  await vi.waitFor(async () => expect((await jsm.streams.info('LOAN_DLQ')).state.messages).toBe(4), 10_000);
  await vi.waitFor(async () => expect(await unsettled(nats)).toBe(0), 10_000);
  const first = await jsm.streams.getMessage('LOAN_DLQ', { seq: 1 });
  expect(first.subject).toBe(`loan.dlq.decisioning.${applicationId}`);
  expect(first.string()).toBe('{');
  expect(first.header.get('prequal-error-class')).toBe('INVALID_MESSAGE');
  expect(first.header.get('prequal-error')).toBe('not JSON');
  expect(first.header.get('prequal-subject')).toBe(`loan.credit-reports.generated.${applicationId}`);
  expect(handled).toEqual([good.id]);
});

test('a handler that fails gets the message again, and its neighbours are not held up', async ({ nats }) => {
  await ready(nats);
  const [failing, ...others] = Array.from({ length: 20 }, () => report());
  if (!failing) throw new Error('unreachable');
  await Promise.all([failing, ...others].map((event) => send(nats, event)));
  let failures = 0;
  const handled: string[] = [];
  const { consumer } = consuming(nats, {
    handle: async (events) => {
      if (failures === 0 && events.some((event) => event.id === failing.id)) {
        if (events.length === 1) failures += 1;
        throw new Error('cannot');
      }
      handled.push(...events.map((event) => event.id));
      return events.map(() => undefined);
    },
  });
  await using _ = consumer;
  // The first retry comes at once.
  await vi.waitFor(() => expect(handled).toHaveLength(20), 10_000);
  expect(failures).toBe(1);
  expect(handled.at(-1)).toBe(failing.id);
});

test('while a server is away the messages are kept, and handled when it is back', async ({ nats }) => {
  await ready(nats);
  let away = true;
  const handled: string[] = [];
  let refused = 0;
  const { consumer } = consuming(nats, {
    isOutage: () => true,
    handle: oneByOne(async (event) => {
      if (away) {
        refused += 1;
        throw new Error('away');
      }
      handled.push(event.id);
    }),
  });
  await using _ = consumer;
  const event = report();
  await send(nats, event);
  await vi.waitFor(() => expect(refused).toBeGreaterThanOrEqual(1), 10_000);
  away = false;
  await vi.waitFor(() => expect(handled).toEqual([event.id]), 10_000);
});

test('a consumer that was deleted is provisioned again and goes on', async ({ nats }) => {
  await ready(nats);
  const { consumer, handled } = consuming(nats);
  await using _ = consumer;
  const before = report();
  await send(nats, before);
  await vi.waitFor(() => expect(handled).toContain(before.id), 10_000);
  const { jsm } = await nats.broker.jetStream();
  await jsm.consumers.delete('LOAN_CREDIT_REPORTS', 'decisioning');
  const after = report();
  await vi.waitFor(() => send(nats, after), 10_000);
  await vi.waitFor(() => expect(handled).toContain(after.id), 15_000);
  // With the last minutes, and not with the week that the stream keeps: the bureau would be asked about all of it.
  const { config } = await jsm.consumers.info('LOAN_CREDIT_REPORTS', 'decisioning');
  const { state } = await jsm.streams.info('LOAN_CREDIT_REPORTS');
  expect(config).toMatchObject({ deliver_policy: 'by_start_sequence', opt_start_seq: state.first_seq });
});

test('a worker that may not provision waits until another one has, again when the store was wiped', async ({
  nats,
}) => {
  const { jsm } = await nats.broker.jetStream();
  for (const name of Object.keys(streams)) await jsm.streams.delete(name).catch(() => undefined);
  const { log, lines } = recordedLog();
  const broker = connectBroker({ natsUrl: nats.urls.scoring, name: 'scoring', log });
  const handled: string[] = [];
  const worker = consume('scoring', {
    broker,
    log,
    metrics: createMetrics('test'),
    provisioning: { ackWaitMs: 30_000 },
    retryDelaysMs: [0],
    limits: { maxItems: 1, maxConcurrent: 1 },
    isOutage: () => false,
    handle: oneByOne(async (event) => void handled.push(event.subject)),
  });
  await using owned = new AsyncDisposableStack();
  owned.use(broker);
  owned.use(worker);
  const saidWaiting = () =>
    lines.map((line) => JSON.parse(line)).filter(({ msg }) => msg.startsWith('waiting for decisioning'));
  const warnsOnce = async (from: number) => {
    const levels = ['info', ...Array(8).fill('debug'), 'warn', 'debug', 'debug'];
    const said = () => saidWaiting().slice(from, from + levels.length);
    await vi.waitFor(() => expect(said()).toHaveLength(levels.length), 30_000);
    expect(said().map(({ level }) => level)).toEqual(levels);
  };
  await warnsOnce(0);
  expect(worker.isConsuming()).toBe(false);
  const decisioning = owned.use(connectBroker({ natsUrl: nats.urls.decisioning, name: 'decisioning', log: quiet }));
  const provisioner = owned.use(keepProvisioned(decisioning, provisioning, quiet));
  const gateway = owned.use(connectBroker({ natsUrl: nats.urls.gateway, name: 'gateway', log: quiet }));
  const handledNow = async () => {
    const event = submitted();
    const message = toMessage('applicationSubmitted', event);
    await vi.waitFor(() => publishMessage(gateway, message), { timeout: 15_000, interval: 100 });
    await vi.waitFor(() => expect(handled).toContain(event.subject), 15_000);
  };
  await handledNow();
  {
    await using _outage = await nats.wiped();
  }
  await handledNow();
  // While nothing disconnects, somebody has to look.
  await vi.waitFor(() => jsm.streams.delete('LOAN_APPLICATIONS'), 15_000);
  await handledNow();
  // Three times so far, each with a word at once and one more if it lasts.
  expect(saidWaiting().filter(({ level }) => level !== 'debug').length).toBeLessThanOrEqual(6);
  provisioner[Symbol.dispose]();
  const soFar = saidWaiting().length;
  await jsm.streams.delete('LOAN_APPLICATIONS');
  await warnsOnce(soFar);
});

test('stopping waits for what is in hand; what was not handled is delivered to the next', async ({ nats }) => {
  await ready(nats);
  const { jsm } = await nats.broker.jetStream();
  await jsm.streams.purge('LOAN_CREDIT_REPORTS');
  const gate = Promise.withResolvers<void>();
  const first: string[] = [];
  const { consumer } = consuming(nats, {
    limits: { maxItems: 1, maxConcurrent: 1 },
    handle: oneByOne(async (event) => {
      first.push(event.id);
      await gate.promise;
    }),
  });
  const events = Array.from({ length: 10 }, () => report());
  await Promise.all(events.map((event) => send(nats, event)));
  await vi.waitFor(() => expect(first).toHaveLength(1), 10_000);
  const stopped = consumer[Symbol.asyncDispose]();
  gate.resolve();
  await stopped;
  const { consumer: second, handled } = consuming(nats);
  await using _ = second;
  await vi.waitFor(() => expect(new Set([...first, ...handled]).size).toBe(10), 10_000);
  await vi.waitFor(async () => expect(await unsettled(nats)).toBe(0), 10_000);
});

test('stopping does not wait for a NATS that says nothing any more', async ({ nats }) => {
  await ready(nats);
  await using stack = new AsyncDisposableStack();
  const links: Socket[] = [];
  const proxy = createServer((client) => {
    const server = connectTcp(Number(new URL(nats.url).port), '127.0.0.1');
    client.pipe(server).pipe(client);
    for (const socket of [client, server]) links.push(socket.on('error', () => undefined));
  }).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  stack.defer(() => {
    for (const socket of links) socket.destroy();
    proxy.close();
  });
  const { port } = proxy.address() as AddressInfo;
  const natsUrl = Object.assign(new URL(nats.url), { port }).href;
  const broker = connectBroker({ natsUrl, name: 'behind-a-link', log: quiet });
  const { consumer } = consuming(nats, { broker });
  await vi.waitUntil(() => consumer.isConsuming(), 10_000);
  for (const socket of links) socket.unpipe().pause();
  const begun = performance.now();
  await consumer[Symbol.asyncDispose]();
  await broker[Symbol.asyncDispose]();
  expect(performance.now() - begun).toBeLessThan(5_000);
});
