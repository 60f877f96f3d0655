import { fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { attemptsSubject } from '@prequal/schema';
import { createMetrics } from '@prequal/service';
import { quiet, type TestNats, test } from '@prequal/testing';
import { MsgHdrsImpl } from 'nats';
import { beforeEach, expect, vi } from 'vitest';
import { BrokerAwayError } from './connect.ts';
import { type ConsumeOptions, consume, oneByOne } from './consume.ts';
import { type Report, report } from './credit-report.fixture.ts';
import { readDeadLetter } from './dead-letter.ts';
import { UnknownApplicationError } from './failures.ts';
import { provision } from './provision.ts';
import { publishMessage, toMessage } from './publish.ts';

const provisioning = { replicas: 1, ackWaitMs: 1_000 };

function consuming(nats: TestNats, options: Partial<ConsumeOptions<Report>>) {
  return consume('decisioning', {
    broker: nats.broker,
    log: quiet,
    metrics: createMetrics('test'),
    provisioning,
    retryDelaysMs: [0, 50, 50],
    limits: { maxItems: 50, maxConcurrent: 2 },
    isOutage: () => false,
    handle: async (events) => events.map(() => undefined),
    ...options,
  });
}

async function send(nats: TestNats, ...events: Report[]): Promise<void> {
  await Promise.all(events.map((event) => publishMessage(nats.broker, toMessage('creditReportGenerated', event))));
}

async function deadLetters(nats: TestNats) {
  const { js } = await nats.broker.jetStream();
  const consumer = await js.consumers.get('LOAN_DLQ');
  const { num_pending } = await consumer.info(true);
  const found: ReturnType<typeof readDeadLetter>[] = [];
  if (num_pending === 0) return found;
  for await (const message of await consumer.fetch({ max_messages: num_pending, expires: 1_000 })) {
    found.push(readDeadLetter(message));
  }
  return found;
}

/** Everything settled and no notes left. */
async function untilQuiet(nats: TestNats): Promise<void> {
  await untilSettled(nats);
  const { jsm } = await nats.broker.jetStream();
  await vi.waitFor(async () => {
    expect((await jsm.streams.info('LOAN_ATTEMPTS')).state.messages).toBe(0);
  }, 10_000);
}

async function untilSettled(nats: TestNats): Promise<void> {
  const { jsm } = await nats.broker.jetStream();
  await vi.waitFor(async () => {
    const { num_pending, num_ack_pending } = await jsm.consumers.info('LOAN_CREDIT_REPORTS', 'decisioning');
    expect([num_pending, num_ack_pending]).toEqual([0, 0]);
  }, 10_000);
}

beforeEach<{ nats: TestNats }>(async ({ nats }) => {
  const { jsm } = await nats.broker.jetStream();
  await provision(jsm, provisioning);
  for (const stream of ['LOAN_CREDIT_REPORTS', 'LOAN_DLQ', 'LOAN_ATTEMPTS']) await jsm.streams.purge(stream);
});

test('a message that fails every try is dead-lettered after the last, and holds up no other', async ({ nats }) => {
  const [failing, ...others] = Array.from({ length: 10 }, report);
  if (!failing) throw new Error('unreachable');
  let tries = 0;
  const handled = new Set<string>();
  await using _ = consuming(nats, {
    handle: oneByOne(async ({ id }) => {
      if (id !== failing.id) return void handled.add(id);
      tries += 1;
      throw new RangeError('cannot for ABCDE1234F');
    }),
  });
  await send(nats, failing, ...others);
  await vi.waitFor(() => expect(handled.size).toBe(9), 10_000);
  const letters = await vi.waitFor(async () => {
    const found = await deadLetters(nats);
    expect(found).toHaveLength(1);
    return found;
  }, 10_000);
  expect(tries).toBe(1 + 3);
  expect(letters).toMatchObject([
    {
      consumer: 'decisioning',
      subject: `loan.credit-reports.generated.${failing.subject}`,
      applicationId: failing.subject,
      errorClass: 'HANDLER_FAILED',
      // The rest of the sentence held a PAN.
      error: 'RangeError',
      correlationId: 'a-test',
    },
  ]);
  expect(JSON.parse(Buffer.from(letters[0]?.payload ?? []).toString())).toMatchObject({ id: failing.id });
  await untilQuiet(nats);
});

test('whatever stands in a message of an error, it is the message that is dead-lettered and nobody else waits', async ({
  nats,
}) => {
  const failing = report();
  const paused: unknown[] = [];
  await using _ = consuming(nats, {
    retryDelaysMs: [],
    handle: async (events) =>
      events.map(({ id }) => (id === failing.id ? new Error('HTTP 500\r\nno\u0000body') : undefined)),
    isOutage: (error) => {
      paused.push(error);
      return false;
    },
  });
  await send(nats, failing);
  const [letter] = await vi.waitFor(async () => {
    const found = await deadLetters(nats);
    expect(found).toHaveLength(1);
    return found;
  }, 10_000);
  expect(letter).toMatchObject({ errorClass: 'HANDLER_FAILED', error: 'Error: HTTP 500', deliveries: 1 });
});

test.for([
  ['a line feed', 'a\nb', '{'],
  ['a line feed and no content', 'a\nb', ''],
  ['NUL', 'a\u0000b', '{'],
  ['a PAN', 'for-ABCDE1234F', '{'],
  // With a payload of this size there is room for it in the message, but not in its dead letter.
  ['too much', 'x'.repeat(48_400), 'x'.repeat(1_000_000)],
] as const)(
  'a malformed message with %s in a header is dead-lettered and nobody else waits',
  async ([, value, payload], { nats }) => {
    const handled: string[] = [];
    await using _ = consuming(nats, { handle: oneByOne(async ({ id }) => void handled.push(id)) });
    const { js } = await nats.broker.jetStream();
    // What the library would not let us send, others can.
    const foreign = MsgHdrsImpl.fromRecord({ 'correlation-id': [value] });
    await js.publish(`loan.credit-reports.generated.${randomUUID()}`, payload, { headers: foreign });
    const letters = await vi.waitFor(async () => {
      const found = await deadLetters(nats);
      expect(found).toHaveLength(1);
      return found;
    }, 10_000);
    expect(letters).toMatchObject([
      {
        errorClass: 'INVALID_MESSAGE',
        correlationId: undefined,
        payload: { length: payload.length },
      },
    ]);
    const good = report();
    await send(nats, good);
    await vi.waitFor(() => expect(handled).toEqual([good.id]), 10_000);
    await untilQuiet(nats);
  },
);

test('a dead letter of somebody else holds nothing that cannot be recorded', async ({ nats }) => {
  const { js } = await nats.broker.jetStream();
  const foreign = MsgHdrsImpl.fromRecord({ 'prequal-error': ['a\u0000b'], 'correlation-id': ['c\u0000d'] });
  await js.publish('loan.dlq.other.unknown', '{', { headers: foreign });
  expect(await deadLetters(nats)).toMatchObject([{ error: 'a b', correlationId: 'c d' }]);
});

test('a message whose trace fits no header is published without it', async ({ nats }) => {
  const event = { ...report(), correlationid: 'a\nb' };
  await publishMessage(nats.broker, toMessage('creditReportGenerated', event));
  const { jsm } = await nats.broker.jetStream();
  const stored = await jsm.streams.getMessage('LOAN_CREDIT_REPORTS', {
    last_by_subj: 'loan.credit-reports.generated.*',
  });
  expect(stored.header.get('Nats-Msg-Id')).toBe(event.id);
  expect(stored.header.get('correlation-id')).toBe('');
});

test('tries that an outage ended are not counted', async ({ nats }) => {
  const event = report();
  let tries = 0;
  await using _ = consuming(nats, {
    retryDelaysMs: [0],
    handle: async ([first]) => {
      tries += 1;
      if (tries === 1) throw new Error('its own');
      // More often than an unfinished handling may happen.
      if (tries < 7) throw new TypeError('the server is away');
      return [first && undefined];
    },
    isOutage: (error) => error instanceof TypeError,
  });
  await send(nats, event);
  await vi.waitFor(() => expect(tries).toBe(7), 18_000);
  await untilQuiet(nats);
  expect(await deadLetters(nats)).toEqual([]);
});

test('tries that an outage of NATS itself ended are not counted', async ({ nats }) => {
  const event = report();
  const outages: Promise<void>[] = [];
  let tries = 0;
  await using _ = consuming(nats, {
    retryDelaysMs: [0],
    handle: async ([first]) => {
      tries += 1;
      if (tries === 1) throw new Error('its own');
      if (tries > 5) return [first && undefined];
      const outage = await nats.away();
      outages.push(delay(300).then(() => outage[Symbol.asyncDispose]()));
      throw new BrokerAwayError('nothing can be published');
    },
  });
  await send(nats, event);
  await vi.waitFor(() => expect(tries).toBe(6), 40_000);
  await Promise.all(outages);
  await untilQuiet(nats);
  expect(await deadLetters(nats)).toEqual([]);
});

test('tries that ended because no dead letter could be stored are not counted', async ({ nats }) => {
  const event = report();
  const { jsm } = await nats.broker.jetStream();
  let tries = 0;
  await using consumer = consuming(nats, {
    retryDelaysMs: [],
    handle: async ([first]) => {
      tries += 1;
      return [first && new Error('its own')];
    },
  });
  // What it makes when it begins.
  await vi.waitFor(() => expect(consumer.isConsuming()).toBe(true), 10_000);
  await jsm.streams.delete('LOAN_DLQ');
  await send(nats, event);
  // More often than a handling may be left unfinished.
  await vi.waitFor(() => expect(tries).toBe(5), 30_000);
  await provision(jsm, provisioning);
  await vi.waitFor(async () => {
    expect((await deadLetters(nats)).map(({ errorClass }) => errorClass)).toEqual(['HANDLER_FAILED']);
  }, 20_000);
  await untilQuiet(nats);
});

test('an application that cannot be seen yet is waited for; one that never comes is dead-lettered', async ({
  nats,
}) => {
  const [late, never] = [report(), report()];
  let looks = 0;
  const handled: string[] = [];
  await using _ = consuming(nats, {
    handle: oneByOne(async ({ id }) => {
      if (id === never.id || (looks += 1) < 3) throw new UnknownApplicationError('not there');
      handled.push(id);
    }),
  });
  await send(nats, late, never);
  await vi.waitFor(() => expect(handled).toEqual([late.id]), 10_000);
  await vi.waitFor(async () => {
    expect((await deadLetters(nats)).map(({ errorClass }) => errorClass)).toEqual(['UNKNOWN_APPLICATION']);
  }, 10_000);
  await untilQuiet(nats);
});

test('an outage counts no tries, and while it lasts one message alone asks whether it is over', async ({ nats }) => {
  const events = Array.from({ length: 40 }, report);
  let away = true;
  let probes = 0;
  const failures = new Map<string, number>();
  await using _ = consuming(nats, {
    isOutage: (error) => error instanceof Error && error.message === 'away',
    // What fails by itself, after the outage, still has all its tries.
    retryDelaysMs: [0],
    handle: async (batch) => {
      if (away) {
        probes += 1;
        throw new Error('away');
      }
      return batch.map(({ id }) => {
        failures.set(id, (failures.get(id) ?? 0) + 1);
        return failures.get(id) === 1 ? new Error('once') : undefined;
      });
    },
  });
  await send(nats, ...events);
  await vi.waitFor(() => expect(probes).toBeGreaterThan(0), 10_000);
  const atFirst = probes;
  await vi.waitFor(() => expect(probes).toBeGreaterThanOrEqual(atFirst + 3), 10_000);
  expect(probes).toBeLessThanOrEqual(atFirst + 4);
  away = false;
  await vi.waitFor(() => expect([...failures.values()].filter((times) => times === 2)).toHaveLength(40), 15_000);
  await untilQuiet(nats);
  expect(await deadLetters(nats)).toEqual([]);
});

test.for(['exit', 'block', 'hang'] as const)(
  'a handler that makes its process %s ends as a dead letter, and every other message is handled',
  async (deed, { nats }) => {
    const [culprit, ...others] = Array.from({ length: 30 }, report);
    if (!culprit) throw new Error('unreachable');
    const handled = new Set<string>();
    let starts = 0;
    await using stack = new AsyncDisposableStack();
    let stopped = false;
    const start = (): void => {
      starts += 1;
      const child = fork(
        join(import.meta.dirname, 'crashing-worker.ts'),
        [nats.url, deed, String(provisioning.ackWaitMs), culprit.id],
        { execPath: process.execPath, execArgv: [] },
      );
      child.on('message', (id) => void handled.add(id as string));
      const gone = new Promise<void>((resolve) => {
        child.once('exit', () => {
          resolve();
          if (!stopped) start();
        });
      });
      stack.defer(async () => {
        stopped = true;
        if (child.connected) child.disconnect();
        await gone;
      });
    };
    start();
    await send(nats, culprit, ...others);
    await vi.waitFor(
      async () => {
        expect((await deadLetters(nats)).map(({ errorClass, payload }) => [errorClass, idOf(payload)])).toEqual([
          ['HANDLER_UNFINISHED', culprit.id],
        ]);
      },
      { timeout: 40_000, interval: 200 },
    );
    // What was in hand with it may be handled after it. A process that ends may leave a note on what it had settled.
    await untilSettled(nats);
    await vi.waitFor(() => {
      handled.delete(culprit.id);
      expect(handled).toEqual(new Set(others.map(({ id }) => id)));
    }, 10_000);
    if (deed !== 'block') expect(starts).toBeGreaterThanOrEqual(4);
  },
);

function idOf(payload: Uint8Array): string {
  return (JSON.parse(Buffer.from(payload).toString()) as Report).id;
}

test('the last try of a suspect has nothing beside it, so that it is not blamed for what another does', async ({
  nats,
}) => {
  const suspect = report();
  await send(nats, suspect);
  const { js } = await nats.broker.jetStream();
  const consumer = await js.consumers.get('LOAN_CREDIT_REPORTS', 'decisioning');
  expect((await consumer.next())?.seq).toBeGreaterThan(0);
  const notes = { unfinished: 2, failures: 0 };
  await js.publish(attemptsSubject('decisioning', suspect.id), JSON.stringify(notes));
  const others = Array.from({ length: 100 }, report);
  const underWay = new Set<string>();
  const handled: string[] = [];
  let besideIt: string[] | undefined;
  await using _ = consuming(nats, {
    limits: { maxItems: 1, maxConcurrent: 10 },
    handle: oneByOne(async ({ id }) => {
      underWay.add(id);
      if (id === suspect.id) besideIt = [...underWay];
      // Long enough for others to come: it is delivered again after the acknowledgement wait.
      await delay(id === suspect.id ? 200 : 50);
      if (id === suspect.id) besideIt = [...new Set([...(besideIt ?? []), ...underWay])];
      underWay.delete(id);
      handled.push(id);
    }),
  });
  for (const other of others) {
    await send(nats, other);
    await delay(15);
  }
  await vi.waitFor(() => expect(handled).toHaveLength(101), 10_000);
  expect(besideIt).toEqual([suspect.id]);
  expect(handled.indexOf(suspect.id)).toBeLessThan(100);
  await untilQuiet(nats);
  expect(await deadLetters(nats)).toEqual([]);
});

test('a copy that comes while the last try of its message is under way waits for how that ends', async ({ nats }) => {
  const suspect = report();
  const { subject, message } = toMessage('creditReportGenerated', suspect);
  const { js } = await nats.broker.jetStream();
  const consumer = await js.consumers.get('LOAN_CREDIT_REPORTS', 'decisioning');
  for (const copy of ['a', 'b']) {
    await js.publish(subject, message, { msgID: `${suspect.id}-${copy}` });
    await consumer.next();
    // The second one is delivered again while the first one is being handled.
    await delay(300);
  }
  await js.publish(attemptsSubject('decisioning', suspect.id), JSON.stringify({ unfinished: 2, failures: 0 }));
  let handled = 0;
  await using _ = consuming(nats, {
    handle: oneByOne(async () => {
      await delay(700);
      handled += 1;
    }),
  });
  await vi.waitFor(() => expect(handled).toBe(2), 10_000);
  await untilQuiet(nats);
  expect(await deadLetters(nats)).toEqual([]);
});

test('a stopping worker hands back what it has not begun, at once', async ({ nats }) => {
  const gate = Promise.withResolvers<void>();
  const begun: string[] = [];
  const consumer = consuming(nats, {
    // Longer than the test may take: nobody gets a message by waiting for the broker to give it away.
    provisioning: { replicas: 1, ackWaitMs: 60_000 },
    limits: { maxItems: 1, maxConcurrent: 1 },
    handle: oneByOne(async ({ id }) => {
      begun.push(id);
      await gate.promise;
    }),
  });
  const events = Array.from({ length: 10 }, report);
  await send(nats, ...events);
  await vi.waitFor(() => expect(begun).toHaveLength(1), 10_000);
  const stopped = consumer[Symbol.asyncDispose]();
  gate.resolve();
  await stopped;
  const next: string[] = [];
  await using _ = consuming(nats, {
    provisioning: { replicas: 1, ackWaitMs: 60_000 },
    handle: oneByOne(async ({ id }) => void next.push(id)),
  });
  await vi.waitFor(() => expect(new Set([...begun, ...next])).toEqual(new Set(events.map(({ id }) => id))), 10_000);
  expect(begun).toHaveLength(1);
});
