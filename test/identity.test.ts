import { startGateway } from '@prequal/gateway';
import { sql } from '@prequal/persistence';
import { connectClient, startIssuer, type TestClient, type TestIssuer } from '@prequal/testing';
import { type Client, createClient } from 'graphql-ws';
import { describe, expect, onTestFinished, vi } from 'vitest';
import { WebSocket } from 'ws';
import {
  test as base,
  goodInput,
  lookUpDocument,
  submit,
  submitDocument,
  syntheticToken,
  type TestStack,
  watchDocument,
} from './stack.ts';

type Door = {
  url: string;
  issuer: TestIssuer;
  /** a client with a token of these claims; without claims: anonymous */
  as: (claims?: Record<string, unknown>) => Promise<TestClient>;
};

async function openDoor(stack: TestStack, owned: AsyncDisposableStack, env: NodeJS.ProcessEnv = {}): Promise<Door> {
  const issuer = owned.use(await startIssuer());
  const auth = { AUTH_ISSUER: issuer.issuer, AUTH_LEEWAY_SECONDS: '0' };
  const { url } = owned.use(await startGateway({ ...stack.envOf('gateway'), ...auth, ...env }));
  return { url, issuer, as: async (claims) => owned.use(connectClient(url, claims && (await issuer.token(claims)))) };
}

const test = base.extend<{ $file: { door: Door } }>({
  door: [
    async ({ stack }, use) => {
      await using owned = new AsyncDisposableStack();
      await use(await openDoor(stack, owned));
    },
    { scope: 'file' },
  ],
});

const unknownId = '01890000-0000-7000-8000-000000000000';
const staff = ['underwriter', 'analyst', 'operator', 'auditor'];

/** What a watcher is told first: an update's status, or the error. */
async function firstOf(client: TestClient, transport: 'ws' | 'sse', id: string, after?: number): Promise<unknown> {
  const stream = client.subscribe(transport, watchDocument, { id, after });
  try {
    const { value } = await stream.next();
    return value.errors?.[0] ?? value.data.applicationStatus.status;
  } catch (error) {
    // graphql-ws throws the errors of an operation that could not begin
    return Array.isArray(error) ? error[0] : error;
  } finally {
    await stream.return?.();
  }
}

async function lookUp(client: TestClient, id: string): Promise<unknown> {
  const answer = await client.request(lookUpDocument, { id });
  return { status: answer.status, data: answer.data, errors: answer.errors };
}

describe('an application that was submitted with a token', () => {
  test("is its owner's and for staff to see, over HTTP, WebSocket and SSE", async ({ door, database }) => {
    const alice = await door.as({ sub: 'alice' });
    const id = await submit(alice);
    const { rows } = await sql`select owner from applications where id = ${id}`.execute(database.sql());
    expect(rows).toEqual([{ owner: 'alice' }]);
    const others = await Promise.all(staff.map((role) => door.as({ sub: 'desk', roles: [role] })));
    for (const client of [alice, ...others]) {
      expect(await lookUp(client, id)).toMatchObject({ data: { application: { id } } });
      for (const transport of ['ws', 'sse'] as const) {
        expect(await firstOf(client, transport, id, 0)).toBe('PENDING');
      }
    }
  });

  test('does not exist for anybody else: the answers are those for an id nobody knows, to the letter', async ({
    door,
  }) => {
    const id = await submit(await door.as({ sub: 'alice' }));
    const strangers = await Promise.all([
      door.as(),
      door.as({ sub: 'bob' }),
      door.as({ sub: 'Alice' }),
      door.as({ sub: 'alice ' }),
      door.as({ sub: 'null' }),
      door.as({ sub: 'bob', roles: ['admin', 'owner'] }),
    ]);
    for (const stranger of strangers) {
      expect(await lookUp(stranger, id)).toEqual({ status: 200, data: { application: null }, errors: undefined });
      expect(await lookUp(stranger, id)).toEqual(await lookUp(stranger, unknownId));
      for (const transport of ['ws', 'sse'] as const) {
        for (const after of [undefined, 0, 1, 7]) {
          const error = await firstOf(stranger, transport, id, after);
          expect(error).toMatchObject({ extensions: { code: 'NOT_FOUND' } });
          expect(error).toEqual(await firstOf(stranger, transport, unknownId, after));
        }
      }
    }
  });

  test('the same idempotency key of another subject is another key, and nobody else gets the application back', async ({
    door,
  }) => {
    const input = { ...goodInput, idempotencyKey: `shared-${Math.random()}` };
    const clients = await Promise.all([door.as({ sub: 'alice' }), door.as({ sub: 'bob' }), door.as()]);
    const send = async (client: TestClient) => {
      const { data } = await client.request(
        'mutation($input: SubmitApplicationInput!) { submitApplication(input: $input) { replayed application { id } } }',
        { input },
      );
      return data.submitApplication;
    };
    const first = await Promise.all(clients.map(send));
    expect(first.map(({ replayed }) => replayed)).toEqual([false, false, false]);
    expect(new Set(first.map(({ application }) => application.id)).size).toBe(3);
    const again = await Promise.all(clients.map(send));
    expect(again).toEqual(first.map(({ application }) => ({ replayed: true, application })));
  });
});

test('an anonymous application is for whoever knows its id, with a token or without', async ({ door, database }) => {
  const id = await submit(await door.as());
  const { rows } = await sql`select owner from applications where id = ${id}`.execute(database.sql());
  expect(rows).toEqual([{ owner: null }]);
  for (const client of [await door.as(), await door.as({ sub: 'bob' }), await door.as({ sub: 'desk', roles: staff })]) {
    expect(await lookUp(client, id)).toMatchObject({ data: { application: { id } } });
    for (const transport of ['ws', 'sse'] as const) expect(await firstOf(client, transport, id, 0)).toBe('PENDING');
  }
});

/** The close of a raw socket that says this in connection_init; or the acknowledgement. */
async function greeting(url: string, payload: unknown, headers: Record<string, string> = {}): Promise<unknown> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws', { headers });
  onTestFinished(() => socket.terminate());
  return new Promise((resolve) => {
    socket.once('open', () => socket.send(JSON.stringify({ type: 'connection_init', payload })));
    socket.once('close', (code) => resolve(code));
    socket.once('message', (message: Buffer) => resolve(JSON.parse(message.toString()).type));
    socket.once('error', resolve);
  });
}

const sendOver = (url: string, accept: string, authorization?: string) =>
  fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept, ...(authorization !== undefined && { authorization }) },
    body: JSON.stringify({ query: submitDocument, variables: { input: goodInput } }),
  });

const applications = async (database: { sql: () => never }) =>
  (await sql<{ count: string }>`select count(*) from applications`.execute(database.sql())).rows[0]?.count;

describe('a token that is not sound', () => {
  test.for([
    ['expired', { exp: 1 }],
    ['for another audience', { aud: 'mail' }],
    ['of another issuer', { iss: 'https://login.example.com' }],
    ['not yet good', { nbf: 4_000_000_000 }],
  ] as const)('is refused on every transport, before anything is done: %s', async ([, claims], { door, database }) => {
    const token = await door.issuer.token(claims);
    const before = await applications(database as never);
    for (const accept of ['application/json', 'application/graphql-response+json', 'text/event-stream']) {
      const answer = await sendOver(door.url, accept, `Bearer ${token}`);
      expect([answer.status, answer.headers.get('www-authenticate')], accept).toEqual([401, 'Bearer']);
      const body = await answer.text();
      expect(body).toContain('"code":"UNAUTHENTICATED"');
      expect(body).not.toMatch(/"http"|"data":\{"submit/);
    }
    expect(await greeting(door.url, { authorization: `Bearer ${token}` })).toBe(4403);
    expect(await greeting(door.url, {}, { authorization: `Bearer ${token}` })).toBe(4403);
    expect(await applications(database as never)).toBe(before);
  });

  test.for(['', 'Bearer', 'Basic YWxpY2U6', 'Bearer a.b.c'])('nor is %j', async (authorization, { door }) => {
    // fetch leaves out an empty header's value, but sends it
    expect((await sendOver(door.url, 'application/json', authorization)).status).toBe(401);
    expect(await greeting(door.url, { authorization })).toBe(4403);
  });

  test.for([7, true, ['x'], { a: 1 }])('nor, on a WebSocket, is %j', async (authorization, { door }) => {
    expect(await greeting(door.url, { authorization })).toBe(4403);
  });

  test('is refused before its document is even read', async ({ door }) => {
    const answer = await fetch(`${door.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Bearer a.b.c' },
      body: JSON.stringify({ query: '{ nothing(' }),
    });
    expect([answer.status, await answer.json()]).toMatchObject([
      401,
      { errors: [{ extensions: { code: 'UNAUTHENTICATED' } }] },
    ]);
    const read = await fetch(`${door.url}/graphql?query={__typename}`, { headers: { authorization: 'Bearer a.b.c' } });
    expect(read.status).toBe(401);
  });

  test('a page of an allowed origin may read the refusal', async ({ door }) => {
    const answer = await fetch(`${door.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Bearer a.b.c', origin: 'https://partner.example' },
      body: '{"query":"{__typename}"}',
    });
    expect([answer.status, answer.headers.get('access-control-allow-origin')]).toEqual([
      401,
      'https://partner.example',
    ]);
  });

  test('a client of graphql-ws that has no better token does not go on trying', async ({ door }) => {
    const stale = await door.issuer.token({ exp: 1 });
    let attempts = 0;
    const client = createClient({
      url: `${door.url.replace('http', 'ws')}/graphql`,
      webSocketImpl: WebSocket,
      retryAttempts: Number.POSITIVE_INFINITY,
      retryWait: async () => undefined,
      shouldRetry: (event) => (event as { code: number }).code !== 4403,
      connectionParams: () => {
        attempts += 1;
        return { authorization: `Bearer ${stale}` };
      },
    });
    await expect(client.iterate({ query: watchDocument, variables: { id: unknownId } }).next()).rejects.toMatchObject({
      code: 4403,
      reason: 'The token has expired. Get a new one.',
    });
    expect(attempts).toBe(1);
    await client.dispose();
  });
});

test('while the issuer is away nobody is told that a token is bad: they try again later', async ({ stack }) => {
  await using owned = new AsyncDisposableStack();
  const door = await openDoor(stack, owned);
  door.issuer.mode = 'broken';
  const authorization = `Bearer ${await door.issuer.token()}`;
  for (const accept of ['application/json', 'text/event-stream']) {
    const answer = await sendOver(door.url, accept, authorization);
    expect(answer.status).toBe(503);
    expect(await answer.text()).toContain('"code":"UNAVAILABLE"');
  }
  expect(await greeting(door.url, { authorization })).toBe(1013);
  expect((await sendOver(door.url, 'application/json')).status).toBe(200);
  expect((await fetch(`${door.url}/readyz`)).status).toBe(200);
  door.issuer.mode = 'up';
  await vi.waitFor(async () => expect(await greeting(door.url, { authorization })).toBe('connection_ack'), 10_000);
});

test('with anonymous callers switched off, nobody without a token does anything', async ({ stack, database }) => {
  await using owned = new AsyncDisposableStack();
  const door = await openDoor(stack, owned, { ALLOW_ANONYMOUS: 'off' });
  const known = await submit(stack.client);
  const before = await applications(database as never);
  for (const accept of ['application/json', 'text/event-stream']) {
    const answer = await sendOver(door.url, accept);
    expect(answer.status).toBe(401);
    expect(await answer.text()).toContain('"code":"UNAUTHENTICATED"');
  }
  const anonymous = await door.as();
  expect(await lookUp(anonymous, known)).toMatchObject({
    status: 401,
    errors: [{ extensions: { code: 'UNAUTHENTICATED' } }],
  });
  expect(await firstOf(anonymous, 'ws', known)).toMatchObject({ code: 4403 });
  expect(await greeting(door.url, undefined)).toBe(4403);
  expect(await applications(database as never)).toBe(before);
  expect(await lookUp(await door.as({ sub: 'alice' }), known)).toMatchObject({ data: { application: { id: known } } });
  // A test of the system itself goes through all the same.
  const headers = { 'x-prequal-synthetic': syntheticToken };
  expect((await anonymous.request(submitDocument, { input: goodInput }, headers)).status).toBe(200);
  expect(
    (await anonymous.request(submitDocument, { input: goodInput }, { 'x-prequal-synthetic': 'guessed' })).status,
  ).toBe(401);
});

describe('when a token expires', () => {
  const inSeconds = (seconds: number) => Math.floor(Date.now() / 1000) + seconds;

  test('its socket is closed with 4403, and a client with a new token resumes after what it has seen', async ({
    stack,
    door,
  }) => {
    const paused = await stack.without('scoring');
    const alice = await door.as({ sub: 'alice' });
    const id = await submit(alice);
    const closes: number[] = [];
    const ends = [inSeconds(2), inSeconds(600)];
    const client: Client = createClient({
      url: `${door.url.replace('http', 'ws')}/graphql`,
      webSocketImpl: WebSocket,
      retryWait: async () => undefined,
      shouldRetry: (event) => (event as { code: number }).code === 4403,
      connectionParams: async () => {
        const exp = ends.shift() ?? expect.fail('connected once too often');
        return { authorization: `Bearer ${await door.issuer.token({ sub: 'alice', exp })}` };
      },
      on: { closed: (event) => closes.push((event as { code: number }).code) },
    });
    const seen: unknown[] = [];
    const variables: { id: string; after?: number } = { id };
    const reconnected = vi.waitUntil(() => closes.length === 1 && ends.length === 0, { timeout: 10_000 });
    const watching = (async () => {
      for await (const { data } of client.iterate<{ applicationStatus: { version: number; status: string } }>({
        query: watchDocument,
        variables,
      })) {
        if (!data) continue;
        variables.after = data.applicationStatus.version;
        seen.push([data.applicationStatus.version, data.applicationStatus.status]);
      }
    })();
    await reconnected;
    expect(closes).toEqual([4403]);
    await paused[Symbol.asyncDispose]();
    await watching;
    expect(seen).toEqual([
      [1, 'PENDING'],
      [2, 'PRE_APPROVED'],
    ]);
    await client.dispose();
  });

  test('a client that ignores the close can do nothing more', async ({ door, database }) => {
    const exp = inSeconds(2);
    const token = await door.issuer.token({ exp });
    const socket = new WebSocket(`${door.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws');
    onTestFinished(() => socket.terminate());
    socket.once('open', () =>
      socket.send(JSON.stringify({ type: 'connection_init', payload: { authorization: `Bearer ${token}` } })),
    );
    await new Promise((resolve) => socket.once('message', resolve));
    // It neither reads the close frame nor answers it, and goes on sending.
    socket.pause();
    await vi.waitUntil(() => Date.now() > exp * 1000 + 200, { timeout: 10_000 });
    const before = await applications(database as never);
    socket.send(
      JSON.stringify({
        id: '1',
        type: 'subscribe',
        payload: { query: submitDocument, variables: { input: goodInput } },
      }),
    );
    await (await door.as()).request(submitDocument, { input: goodInput });
    await vi.waitUntil(async () => (await applications(database as never)) !== before, 10_000);
    expect(Number(await applications(database as never)) - Number(before)).toBe(1);
  });

  test('its SSE stream is cut, not completed', async ({ stack, door }) => {
    await using _paused = await stack.without('scoring');
    const exp = inSeconds(2);
    const alice = await door.as({ sub: 'alice', exp });
    const id = await submit(alice);
    const stream = alice.subscribe('sse', watchDocument, { id });
    expect((await stream.next()).value.data.applicationStatus.status).toBe('PENDING');
    await expect(stream.next()).rejects.toThrow();
    expect(Date.now()).toBeGreaterThanOrEqual(exp * 1000 - 50);
    expect(await firstOf(await door.as({ sub: 'alice' }), 'sse', id)).toBe('PENDING');
  });
});
