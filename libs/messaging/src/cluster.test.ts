import { streams } from '@prequal/schema';
import { createMetrics } from '@prequal/service';
import { quiet, startTestNatsCluster, type TestNatsCluster } from '@prequal/testing';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { connectBroker } from './connect.ts';
import { type Consuming, consume } from './consume.ts';
import { type Report, report } from './credit-report.fixture.ts';
import { provision } from './provision.ts';
import { publishMessage, toMessage } from './publish.ts';

const stream = 'LOAN_CREDIT_REPORTS';
const provisioning = { replicas: 3, ackWaitMs: 3_000 };

let cluster: TestNatsCluster;

beforeAll(async () => {
  cluster = await startTestNatsCluster();
});
afterAll(() => cluster[Symbol.asyncDispose]());

/** Publishes each event again and again until it is stored, as the outbox does; without any, 100 new ones a second. */
function publishing(given?: Report[]) {
  const stored: string[] = [];
  const onTheirWay = new Set<Promise<void>>();
  const publishOne = async (event: Report): Promise<void> => {
    await vi.waitFor(() => publishMessage(cluster.broker, toMessage('creditReportGenerated', event)), {
      timeout: 30_000,
      interval: 200,
    });
    stored.push(event.id);
  };
  const send = (event: Report) => {
    const sent = publishOne(event);
    onTheirWay.add(sent);
    void sent.finally(() => onTheirWay.delete(sent));
  };
  for (const event of given ?? []) send(event);
  const timer = given ? undefined : setInterval(() => send(report()), 10);
  return {
    stored,
    end: async () => {
      clearInterval(timer);
      await Promise.all(onTheirWay);
    },
  };
}

/** Two workers as two processes would be, each with a connection of its own. */
async function working(stack: AsyncDisposableStack): Promise<{ handled: string[]; workers: Consuming[] }> {
  const handled: string[] = [];
  const workers = [1, 2].map((place) => {
    const broker = stack.use(connectBroker({ natsUrl: cluster.url, name: `worker-${place}`, log: quiet }));
    return stack.use(
      consume('decisioning', {
        broker,
        log: quiet,
        metrics: createMetrics('test'),
        provisioning,
        retryDelaysMs: [0],
        limits: { maxItems: 50, maxConcurrent: 2 },
        isOutage: () => false,
        handle: async (events) => {
          handled.push(...events.map((event) => event.id));
          return events.map(() => undefined);
        },
      }),
    );
  });
  await vi.waitFor(() => expect(workers.every((worker) => worker.isConsuming())).toBe(true), 40_000);
  return { handled, workers };
}

async function unsettled(): Promise<number> {
  const { jsm } = await cluster.broker.jetStream();
  const { num_pending, num_ack_pending } = await jsm.consumers.info(stream, 'decisioning');
  return num_pending + num_ack_pending;
}

/** Kills the servers at these places, and starts them again whatever comes. */
async function killed(...indexes: number[]): Promise<AsyncDisposable> {
  await Promise.all(indexes.map((index) => cluster.kill(index)));
  return {
    [Symbol.asyncDispose]: async () => {
      await Promise.all(indexes.map((index) => cluster.restart(index)));
    },
  };
}

/** Which events are not handled in the end when this happens while they flow; they must go on flowing meanwhile. */
async function lostWhile(fault: () => Promise<AsyncDisposable | void>): Promise<string[]> {
  await using stack = new AsyncDisposableStack();
  const { handled } = await working(stack);
  const { stored, end } = publishing();
  await vi.waitFor(() => expect(handled.length).toBeGreaterThan(50), 10_000);
  await using _ = { [Symbol.asyncDispose]: async () => (await outage)?.[Symbol.asyncDispose]() };
  const outage = fault();
  await outage;
  const soFar = handled.length;
  // An election of nats-server 2.9 takes up to ten seconds, and a busy machine makes it two.
  await vi.waitFor(() => expect(handled.length).toBeGreaterThan(soFar + 50), 40_000);
  await end();
  await vi.waitFor(async () => expect(await unsettled()).toBe(0), 30_000);
  const known = new Set(handled);
  return stored.filter((id) => !known.has(id));
}

/** Waits for an election to end. */
function leaderNow(): Promise<number> {
  const leader = async () => {
    const index = await cluster.leaderOf(stream);
    if (index === undefined) throw new Error('no leader');
    return index;
  };
  return vi.waitFor(leader, { timeout: 20_000, interval: 100 });
}

test('the streams and consumers of one replica get three, with what they hold', async () => {
  const { jsm } = await cluster.broker.jetStream();
  await provision(jsm, { ...provisioning, replicas: 1 });
  const event = report();
  await publishMessage(cluster.broker, toMessage('creditReportGenerated', event));
  // As services do: some of many at once are not answered, and try again.
  await vi.waitFor(() => Promise.all([1, 2, 3].map(() => provision(jsm, provisioning))), 20_000);
  const found = await jsm.streams.list().next();
  expect(found).toHaveLength(Object.keys(streams).length);
  for (const { config } of found) expect(config.num_replicas).toBe(3);
  const { config } = await jsm.consumers.info(stream, 'decisioning');
  expect(config.num_replicas).toBe(3);
  await using stack = new AsyncDisposableStack();
  const { handled } = await working(stack);
  await vi.waitFor(() => expect(handled).toContain(event.id), 10_000);
});

test('the leader of a stream is killed under load and comes back: nothing is lost', async () => {
  const leader = await leaderNow();
  expect(await lostWhile(() => killed(leader))).toEqual([]);
  expect(await leaderNow()).not.toBe(leader);
});

test('a follower is killed under load and comes back: nothing is lost', async () => {
  const follower = ((await leaderNow()) + 1) % 3;
  expect(await lostWhile(() => killed(follower))).toEqual([]);
});

test('all servers are killed under load and come back: nothing is lost', async () => {
  await leaderNow();
  const lost = await lostWhile(async () => {
    await using _ = await killed(0, 1, 2);
  });
  expect(lost).toEqual([]);
});

test('workers begin while a server is missing, and make what is missing when it is back', async () => {
  await using stack = new AsyncDisposableStack();
  const missing = await leaderNow();
  await using outage = new AsyncDisposableStack();
  outage.use(await killed(missing));
  await leaderNow();
  const { handled } = await working(stack);
  const event = report();
  await publishing([event]).end();
  await vi.waitFor(() => expect(handled).toContain(event.id), 10_000);

  const { jsm } = await cluster.broker.jetStream();
  await vi.waitFor(() => jsm.streams.delete(stream), 20_000);
  await outage.disposeAsync();
  const other = report();
  await publishing([other]).end();
  await vi.waitFor(() => expect(handled).toContain(other.id), 20_000);
});
