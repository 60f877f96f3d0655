import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { startGateway } from '@prequal/gateway';
import { freePort } from '@prequal/local-stack';
import { sql } from '@prequal/persistence';
import { connectClient } from '@prequal/testing';
import { createClient } from 'graphql-ws';
import { expect, vi } from 'vitest';
import { WebSocket } from 'ws';
import {
  goodInput,
  lookUpDocument,
  submit,
  submitDocument,
  type TestStack,
  test,
  watchDocument,
  watchToEnd,
} from './stack.ts';

const base = (stack: TestStack) => stack.client.url.replace('/graphql', '');

test('health, readiness and liveness tell what is connected', async ({ stack }) => {
  const answers = await Promise.all(['/livez', '/readyz', '/health'].map((path) => fetch(base(stack) + path)));
  expect(answers.map((answer) => answer.status)).toEqual([200, 200, 200]);
  expect(await answers[2]?.json()).toEqual({ status: 'healthy', database: 'connected', nats: 'connected' });
  const metrics = await (await fetch(`${base(stack)}/metrics`)).text();
  expect(metrics).toMatch(/^prequal_watched_applications\{service="gateway"\} 0$/m);
});

test('the page at / leads to GraphiQL, which loads nothing from elsewhere', async ({ stack }) => {
  const page = await fetch(base(stack), { headers: { accept: 'text/html' } });
  expect(page.url).toBe(stack.client.url);
  const html = await page.text();
  expect(html).toContain('mutation Submit');
  expect(html).not.toMatch(/(src|href)="?https?:/);
  // Tabs that stay under the pointer, by a rule for the name that GraphiQL gives them.
  expect(html.includes('.graphiql-tab { transform: none !important; }')).toBe(true);
  expect(html.includes('"graphiql-tab"')).toBe(true);
});

test('only /graphql takes WebSockets, and a malformed address harms nobody', async ({ stack }) => {
  const { port } = new URL(base(stack));
  for (const path of ['/', '/graphql/x', '//', '/%', 'http://[']) {
    const socket = connect(Number(port), '127.0.0.1');
    socket.write(
      `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
    );
    const answer = await text(socket).catch((error: NodeJS.ErrnoException) => error.code);
    expect(answer, path).not.toContain('101');
  }
  expect((await fetch(`${base(stack)}/livez`)).status).toBe(200);
});

test('in production there is no GraphiQL', async ({ stack }) => {
  const gatewayEnv: NodeJS.ProcessEnv = stack.envOf('gateway');
  const ownKeys = (name: string) => ({ [name]: gatewayEnv[name]?.replace('dev-1:', 'own-1:') });
  await using production = await startGateway({
    ...gatewayEnv,
    ...ownKeys('PAN_ENCRYPTION_KEYS'),
    ...ownKeys('PAN_INDEX_KEYS'),
    NODE_ENV: 'production',
    AUTH_ISSUER: 'https://login.example.com',
  });
  const page = await fetch(`${production.url}/graphql`, { headers: { accept: 'text/html' } });
  expect(page.status).toBe(406);
  expect(await page.text()).not.toContain('<html');
});

test('only configured origins may call from a browser', async ({ stack }) => {
  const allowed = async (origin: string) => {
    const answer = await fetch(stack.client.url, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' },
    });
    return answer.headers.get('access-control-allow-origin');
  };
  expect(await allowed('https://partner.example')).toBe('https://partner.example');
  expect(await allowed('https://elsewhere.example')).not.toBe('https://elsewhere.example');
});

test('a body over the limit is refused, announced or not', async ({ stack }) => {
  const post = async (bytes: number, chunked: boolean) => {
    const padded = JSON.stringify({ query: '{ __typename }' }).padEnd(bytes, ' ');
    const body = chunked ? new Blob([padded]).stream() : padded;
    const answer = await fetch(stack.client.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
      ...(chunked && { duplex: 'half' }),
    });
    return [answer.status, await answer.json()];
  };
  for (const chunked of [false, true]) {
    expect(await post(32 * 1024, chunked)).toEqual([200, { data: { __typename: 'Query' } }]);
    expect(await post(32 * 1024 + 1, chunked)).toMatchObject([
      413,
      { errors: [{ extensions: { code: 'PAYLOAD_TOO_LARGE' } }] },
    ]);
  }
});

test.for(['', '{', '[]', 'null', '{}', '{"query":1}'])(
  'a body that is no GraphQL request is refused: %s',
  async (body, { stack }) => {
    const answer = await fetch(stack.client.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ errors: [{ extensions: { code: 'BAD_REQUEST' } }] });
  },
);

test('only the operation that is run is checked, with the fragments it uses', async ({ stack }) => {
  const id = await submit(stack.client);
  const query = `
    query Read($id: ID!) { application(id: $id) { ...Shown } }
    fragment Shown on Application { id }
    mutation Send($input: SubmitApplicationInput!) { submitApplication(input: $input) { replayed } }`;
  const post = async (operationName: string, variables: object) => {
    const answer = await fetch(stack.client.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query, operationName, variables }),
    });
    return answer.json();
  };
  expect(await post('Read', { id })).toEqual({ data: { application: { id } } });
  expect(await post('Send', { input: goodInput })).toEqual({ data: { submitApplication: { replayed: false } } });
});

test('fragments in a ring are refused, however many', async ({ stack }) => {
  const fragments = Array.from({ length: 150 }, (_, index) => {
    const [next, second] = [(index + 1) % 150, (index + 2) % 150];
    return `fragment F${index} on Query{...F${next} ...F${second}}`;
  });
  const { errors } = await stack.client.request(`{...F0} ${fragments.join(' ')}`);
  expect(errors?.map((error) => error.extensions['code'])).toContain('QUERY_TOO_COMPLEX');
  const { errors: few } = await stack.client.request('{...A} fragment A on Query{...B} fragment B on Query{...A}');
  expect(few?.map((error) => error.extensions['code'])).toEqual(['GRAPHQL_VALIDATION_FAILED']);
});

test('a WebSocket client that breaks the protocol is cut, and writes nothing on our console', async ({ stack }) => {
  const printed = vi.spyOn(console, 'error');
  const socket = new WebSocket(stack.client.url.replace('http', 'ws'), 'graphql-transport-ws');
  await once(socket, 'open');
  socket.send('x'.repeat(17 * 1024));
  const [code] = await once(socket, 'close');
  expect(code).toBe(1009);
  expect(printed).not.toHaveBeenCalled();
  printed.mockRestore();
});

test('a gateway that waits for the schema is alive, not ready, and refuses for the moment', async ({
  stack,
  database,
}) => {
  await sql`delete from schema_migrations where name like '%dead-letters'`.execute(database.sql());
  const port = await freePort();
  const starting = startGateway({ ...stack.envOf('gateway'), GATEWAY_PORT: String(port) });
  const at = (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${port}${path}`, init);
  await vi.waitFor(async () => expect((await at('/livez')).status).toBe(200), 10_000);
  expect((await at('/readyz')).status).toBe(503);
  const refused = await at('/graphql', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"query":"{__typename}"}',
  });
  expect([refused.status, await refused.json()]).toMatchObject([
    503,
    { errors: [{ extensions: { code: 'UNAVAILABLE' } }] },
  ]);
  await sql`insert into schema_migrations (name) values ('20261125000000-dead-letters')`.execute(database.sql());
  await using gateway = await starting;
  expect((await fetch(`${gateway.url}/readyz`)).status).toBe(200);
});

test('the same errors and checks hold over WebSocket', async ({ stack }) => {
  const failure = async (query: string, variables: Record<string, unknown>) => {
    try {
      const answers: unknown[] = [];
      for await (const result of stack.client.subscribe('ws', query, variables)) answers.push(result.errors);
      return answers.flat()[0];
    } catch (error) {
      return (error as unknown[])[0];
    }
  };
  const wrong = await failure(watchDocument, { id: { panNumber: 'secret-31337' } });
  expect(wrong).toMatchObject({ extensions: { code: 'VALIDATION_FAILED', issues: [{ path: ['id'] }] } });
  expect(JSON.stringify(wrong)).not.toContain('31337');
  expect(await failure('{', {})).toMatchObject({ message: expect.stringContaining('Syntax Error') });
  expect(await failure('{ nothing }', {})).toMatchObject({ message: expect.stringContaining('Cannot query field') });
});

test('stopping closes sockets with a code the client retries, and cuts SSE without completing it', async ({
  stack,
}) => {
  await using _paused = await stack.without('scoring');
  const id = await submit(stack.client);
  const gateway = await startGateway(stack.envOf('gateway'));
  await using watcher = connectClient(gateway.url);

  const closed = Promise.withResolvers<number>();
  const socketClient = createClient({
    url: `${gateway.url.replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    retryAttempts: 0,
    on: { closed: (event) => closed.resolve((event as { code: number }).code) },
  });
  const overSocket = socketClient.iterate({ query: watchDocument, variables: { id } });
  const overSse = watcher.subscribe('sse', watchDocument, { id });
  await Promise.all([overSocket.next(), overSse.next()]);

  const ends = Promise.allSettled([overSocket.next(), overSse.next()]);
  await gateway[Symbol.asyncDispose]();
  expect(await closed.promise).toBe(1001);
  // Neither says that the stream is complete: that would lose the decision for good.
  expect((await ends).map((end) => end.status)).toEqual(['rejected', 'rejected']);
});

test('the sockets of a gateway that stops are closed in batches, so that their clients do not all come back at once', async ({
  stack,
}) => {
  const gateway = await startGateway(stack.envOf('gateway'));
  const sockets = Array.from(
    { length: 120 },
    () => new WebSocket(`${gateway.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws'),
  );
  await Promise.all(sockets.map((socket) => once(socket, 'open')));
  const closed = sockets.map((socket) => once(socket, 'close'));
  const stoppedAt = performance.now();
  await gateway[Symbol.asyncDispose]();
  // Three batches with two pauses.
  expect(performance.now() - stoppedAt).toBeGreaterThanOrEqual(190);
  const codes = (await Promise.all(closed)).map(([code]) => code as number);
  expect(new Set(codes)).toEqual(new Set([1001]));
});

test('a request that is in hand is answered before the gateway is gone', async ({ stack, database }) => {
  const gateway = await startGateway(stack.envOf('gateway'));
  await using client = connectClient(gateway.url);
  const waitingWrites = async () => {
    // Only submissions: others may be busy with what an earlier test left.
    const { rows } = await sql`
      select 1 from pg_stat_activity
      where wait_event_type = 'Lock' and datname = current_database() and query ~ '^\\s*with input as' and application_name = 'gateway'`.execute(
      database.sql(),
    );
    return rows;
  };
  const { answer, stopped } = await database
    .sql()
    .transaction()
    .execute(async (transaction) => {
      await sql`lock table applications in exclusive mode`.execute(transaction);
      const held = client.request(submitDocument, { input: goodInput });
      await expect.poll(waitingWrites).toHaveLength(1);
      return { answer: held, stopped: gateway[Symbol.asyncDispose]() };
    });
  expect((await answer).data.submitApplication.application.status).toBe('PENDING');
  await stopped;
});

test('while NATS is away, submissions are accepted, watchers stay, and all is decided when it is back', async ({
  stack,
  nats,
}) => {
  const before = await submit(stack.client, { loanAmountInr: '3600000.00' });
  const watchedBefore = stack.client.subscribe('ws', watchDocument, { id: before });
  await vi.waitFor(async () => {
    const { data } = await stack.client.request(lookUpDocument, { id: before });
    expect(data.application.status).toBe('MANUAL_REVIEW');
  }, 10_000);
  await watchedBefore.next();

  const outage = await nats.away();
  await vi.waitFor(async () => expect((await fetch(`${base(stack)}/health`)).status).toBe(503), 10_000);
  expect((await fetch(`${base(stack)}/readyz`)).status).toBe(200);
  const ids = await Promise.all(Array.from({ length: 5 }, () => submit(stack.client)));
  const ends = ids.map((id) => watchToEnd(stack.otherClient, id, { transport: 'sse' }));
  const { data } = await stack.client.request(lookUpDocument, { id: ids[0] });
  expect(data.application.status).toBe('PENDING');
  await outage[Symbol.asyncDispose]();
  for (const updates of await Promise.all(ends)) {
    expect(updates.map(({ version, status }) => [version, status])).toEqual([
      [1, 'PENDING'],
      [2, 'PRE_APPROVED'],
    ]);
  }
  await watchedBefore.return?.();
});

test('when NATS has lost everything it had stored, every pending application is still decided', async ({
  stack,
  nats,
}) => {
  const paused = await stack.without('scoring');
  const ids = await Promise.all(Array.from({ length: 5 }, () => submit(stack.client)));
  const ends = ids.map((id) => watchToEnd(stack.otherClient, id));
  const { jsm } = await nats.broker.jetStream();
  await vi.waitFor(async () => {
    const { state } = await jsm.streams.info('LOAN_APPLICATIONS', { subjects_filter: '>' });
    for (const id of ids) expect(state.subjects).toHaveProperty([`loan.applications.submitted.${id}`]);
  }, 10_000);
  const outage = await nats.wiped();
  await outage[Symbol.asyncDispose]();
  await paused[Symbol.asyncDispose]();
  for (const updates of await Promise.all(ends)) expect(updates.at(-1)).toMatchObject({ status: 'PRE_APPROVED' });
}, 40_000);

test('a gateway that starts while NATS is away serves submissions', async ({ stack, nats }) => {
  const outage = await nats.away();
  await using gateway = await startGateway(stack.envOf('gateway'));
  await using client = connectClient(gateway.url);
  const id = await submit(client);
  const end = watchToEnd(client, id);
  await outage[Symbol.asyncDispose]();
  expect((await end).at(-1)).toMatchObject({ status: 'PRE_APPROVED' });
});
