import { setImmediate as nextTurn } from 'node:timers/promises';
import { startGateway } from '@prequal/gateway';
import { sql } from '@prequal/persistence';
import { connectClient, startIssuer, type TestClient } from '@prequal/testing';
import { describe, expect } from 'vitest';
import { goodInput, submit, submitDocument, syntheticToken, type TestStack, test, watchDocument } from './stack.ts';

type Gateway = { url: string; client: TestClient; as: (subject: string) => Promise<TestClient> };

async function gatewayWith(stack: TestStack, owned: AsyncDisposableStack, env: NodeJS.ProcessEnv): Promise<Gateway> {
  const issuer = owned.use(await startIssuer());
  const { url } = owned.use(
    await startGateway({ ...stack.envOf('gateway'), AUTH_ISSUER: issuer.issuer, GATEWAY_TRUSTED_PROXIES: '1', ...env }),
  );
  const as = async (subject: string) => owned.use(connectClient(url, await issuer.token({ sub: subject })));
  return { url, client: owned.use(connectClient(url)), as };
}

let lastPan = 0;
/** Another one each time. */
const newPan = () => `LIMIT${String((lastPan += 1)).padStart(4, '0')}X`;

type Sent = { panNumber?: string; idempotencyKey?: string; address?: string; synthetic?: boolean };

async function send(client: TestClient, sent: Sent = {}) {
  const { panNumber = newPan(), idempotencyKey, address = '203.0.113.1', synthetic } = sent;
  const headers = { 'x-forwarded-for': address, ...(synthetic && { 'x-prequal-synthetic': syntheticToken }) };
  const {
    status,
    data,
    errors,
    headers: answered,
  } = await client.request(submitDocument, { input: { ...goodInput, panNumber, idempotencyKey } }, headers);
  const code = errors?.[0]?.extensions['code'] as string | undefined;
  return { status, code, extensions: errors?.[0]?.extensions, headers: answered, ...data?.submitApplication };
}

const codes = async (count: number, one: () => Promise<{ code?: string | undefined }>) => {
  const all: (string | undefined)[] = [];
  for (let index = 0; index < count; index += 1) all.push((await one()).code);
  return all;
};

const freshAddress = () => `198.51.100.${(lastPan += 1) % 250}`;

describe('submissions beyond a limit are refused, and only those', () => {
  test.for<
    [
      string,
      string,
      number,
      (gateway: Gateway) => Promise<{ same: () => ReturnType<typeof send>; other: () => ReturnType<typeof send> }>,
    ]
  >([
    [
      'of a caller',
      'GATEWAY_MAX_SUBMISSIONS_PER_CALLER_PER_HOUR',
      8,
      async ({ as }) => {
        const [alice, bob] = await Promise.all([as('alice'), as('bob')]);
        return { same: () => send(alice, { address: freshAddress() }), other: () => send(bob) };
      },
    ],
    [
      'from an address',
      'GATEWAY_MAX_SUBMISSIONS_PER_ADDRESS_PER_HOUR',
      5,
      async ({ client }) => ({
        same: () => send(client, { address: '192.0.2.7' }),
        other: () => send(client, { address: '192.0.2.8' }),
      }),
    ],
    [
      'for a PAN, whoever sends them',
      'GATEWAY_MAX_SUBMISSIONS_PER_PAN_PER_DAY',
      3,
      async ({ client, as }) => {
        const panNumber = newPan();
        const clients = [client, await as('carol'), await as('dave')];
        const same = () => send(clients[(lastPan += 1) % 3] as TestClient, { panNumber, address: freshAddress() });
        return { same, other: () => send(client) };
      },
    ],
  ])('%s', async ([_what, variable, max, callers], { stack, database }) => {
    await using owned = new AsyncDisposableStack();
    const gateway = await gatewayWith(stack, owned, { [variable]: String(max) });
    const { same, other } = await callers(gateway);
    expect(await codes(max, same)).toEqual(Array.from({ length: max }, () => undefined));
    const stored = () => sql`select count(*) from applications`.execute(database.sql());
    const { rows: before } = await stored();
    const refused = await same();
    expect([refused.status, refused.code]).toEqual([429, 'RATE_LIMITED']);
    expect(refused.extensions).not.toHaveProperty('http');
    const waitMs = refused.extensions?.['retryAfterMs'] as number;
    expect(waitMs).toBeGreaterThan(0);
    expect(refused.headers.get('retry-after')).toBe(String(Math.ceil(waitMs / 1_000)));
    expect((await stored()).rows).toEqual(before);
    expect((await other()).code).toBeUndefined();
    // Who is nobody in particular is not in the way of others.
    const { rows } = await sql<{ key: string }>`select key from rate_limits`.execute(database.sql());
    expect(rows.map(({ key }) => key).join()).not.toMatch(/alice|192\.0\.2|LIMIT/);
  });
});

test('what is sent again is neither counted nor refused', async ({ stack }) => {
  await using owned = new AsyncDisposableStack();
  const { as } = await gatewayWith(stack, owned, { GATEWAY_MAX_SUBMISSIONS_PER_CALLER_PER_HOUR: '4' });
  const alice = await as('alice-again');
  const [panNumber, idempotencyKey] = [newPan(), `key-${Math.random()}`];
  const first = await send(alice, { panNumber, idempotencyKey });
  const again = async () => {
    const answer = await send(alice, { panNumber, idempotencyKey });
    expect(answer).toMatchObject({ code: undefined, replayed: true, application: { id: first.application.id } });
  };
  for (let index = 0; index < 12; index += 1) await again();
  expect(await codes(3, () => send(alice))).toEqual([undefined, undefined, undefined]);
  expect((await send(alice, { idempotencyKey: `key-${Math.random()}` })).code).toBe('RATE_LIMITED');
  await again();
  expect((await send(alice, { idempotencyKey })).code).toBe('IDEMPOTENCY_KEY_REUSED');
});

test('a test of the system is not counted', async ({ stack }) => {
  await using owned = new AsyncDisposableStack();
  const { client } = await gatewayWith(stack, owned, { GATEWAY_MAX_SUBMISSIONS_PER_ADDRESS_PER_HOUR: '1' });
  expect(await codes(3, () => send(client, { synthetic: true, address: '192.0.2.50' }))).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});

test('gateways share what is beyond the quarter each grants by itself', async ({ stack }) => {
  await using owned = new AsyncDisposableStack();
  const env = { GATEWAY_MAX_SUBMISSIONS_PER_PAN_PER_DAY: '8' };
  const gateways = await Promise.all([gatewayWith(stack, owned, env), gatewayWith(stack, owned, env)]);
  const panNumber = newPan();
  const accepted = await codes(20, () => send((gateways[(lastPan += 1) % 2] as Gateway).client, { panNumber }));
  // Twice two of their own, and the other six.
  expect(accepted.filter((code) => code === undefined)).toHaveLength(10);
});

test('while the counts cannot be reached each gateway counts for itself', async ({ stack, database }) => {
  await using owned = new AsyncDisposableStack();
  const { client } = await gatewayWith(stack, owned, { GATEWAY_MAX_SUBMISSIONS_PER_PAN_PER_DAY: '4' });
  const panNumber = newPan();
  await sql`alter table rate_limits rename to rate_limits_away`.execute(database.sql());
  try {
    expect(await codes(5, () => send(client, { panNumber }))).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
      'RATE_LIMITED',
    ]);
  } finally {
    await sql`alter table rate_limits_away rename to rate_limits`.execute(database.sql());
  }
});

describe('under too much load', () => {
  test('new submissions are shed while the event loop is behind, and watchers stay', async ({ stack }) => {
    await using _paused = await stack.without('scoring');
    await using owned = new AsyncDisposableStack();
    const { client } = await gatewayWith(stack, owned, { GATEWAY_MAX_EVENT_LOOP_DELAY_MS: '150' });
    const id = await submit(client);
    const watcher = client.subscribe('ws', watchDocument, { id });
    expect((await watcher.next()).value.data.applicationStatus.status).toBe('PENDING');
    const enough = new AbortController();
    const busy = (async () => {
      while (!enough.signal.aborted) {
        const until = performance.now() + 400;
        while (performance.now() < until);
        await nextTurn();
      }
    })();
    await expect.poll(async () => (await send(client)).code, { timeout: 15_000 }).toBe('UNAVAILABLE');
    enough.abort();
    await busy;
    await expect.poll(async () => (await send(client)).code, { timeout: 10_000 }).toBeUndefined();
    await _paused[Symbol.asyncDispose]();
    expect((await watcher.next()).value.data.applicationStatus.status).toBe('PRE_APPROVED');
  });

  test('no more submissions wait for the database than may', async ({ stack, database }) => {
    await using owned = new AsyncDisposableStack();
    const { client } = await gatewayWith(stack, owned, { GATEWAY_MAX_WAITING_SUBMISSIONS: '3' });
    const held = await database
      .sql()
      .transaction()
      .execute(async (transaction) => {
        await sql`lock table applications in exclusive mode`.execute(transaction);
        const waiting = Array.from({ length: 4 }, () => send(client));
        await Promise.race(waiting);
        return { waiting };
      });
    const answers = await Promise.all(held.waiting);
    const refused = answers.map(({ code }) => code).filter((code) => code !== undefined);
    expect(refused).toEqual(['UNAVAILABLE']);
  });
});
