import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { startGateway } from '@prequal/gateway';
import { connectClient } from '@prequal/testing';
import { describe, expect, vi } from 'vitest';
import { failureOf, handshake, inProduction, rawSocket, transports, unknownId, watch } from './edge.ts';
import { goodInput, submit, submitDocument, type TestStack, test, watchDocument } from './stack.ts';

const gatewayWith = (stack: TestStack, env: NodeJS.ProcessEnv) => startGateway({ ...stack.envOf('gateway'), ...env });

const post = (url: string, body: string, headers: Record<string, string> = {}) =>
  fetch(`${url}/graphql`, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body });

const codeOf = async (answer: Response) => {
  const { errors } = (await answer.json()) as { errors: { extensions: { code: string } }[] };
  return errors[0]?.extensions.code;
};

const url = (stack: TestStack) => stack.client.url.replace('/graphql', '');
const query = JSON.stringify({ query: '{ __typename }' });

describe('over HTTP', () => {
  test('one operation a request', async ({ stack }) => {
    expect((await post(url(stack), query)).status).toBe(200);
    const batch = await post(url(stack), `[${query},${query}]`);
    expect([batch.status, await codeOf(batch)]).toEqual([400, 'BAD_REQUEST']);
  });

  test('GET is for queries, and POST for mutations', async ({ stack }) => {
    const get = (document: string) =>
      fetch(`${stack.client.url}?query=${encodeURIComponent(document)}`, { headers: { accept: 'application/json' } });
    expect(await (await get('{ __typename }')).json()).toEqual({ data: { __typename: 'Query' } });
    const mutation = await get('mutation { __typename }');
    expect([mutation.status, mutation.headers.get('allow'), await codeOf(mutation)]).toEqual([
      405,
      'POST',
      'BAD_REQUEST',
    ]);
  });

  test.for([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/graphql',
    'application/json-seq',
    '',
  ])('a page cannot send %j without asking', async (type, { stack }) => {
    const answer = await post(url(stack), query, { 'content-type': type });
    expect([answer.status, await codeOf(answer)]).toEqual([415, 'BAD_REQUEST']);
  });

  test.for(['application/json', 'application/json; charset=utf-8'])('%s is JSON', async (type, { stack }) => {
    expect((await post(url(stack), query, { 'content-type': type })).status).toBe(200);
  });

  test('answers are kept by nobody and framed by nobody, and GraphiQL still may run', async ({ stack }) => {
    const { headers } = await post(url(stack), query);
    expect(Object.fromEntries(headers)).toMatchObject({
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-store',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    });
    expect(headers.get('strict-transport-security')).toBeNull();
    const page = await fetch(stack.client.url, { headers: { accept: 'text/html' } });
    expect(page.headers.get('content-security-policy')).toMatch(
      /script-src 'self' 'unsafe-inline'.*frame-ancestors 'none'/,
    );
    await using behindProxy = await gatewayWith(stack, { GATEWAY_TRUSTED_PROXIES: '1' });
    const secure = await post(behindProxy.url, query, { 'x-forwarded-proto': 'https' });
    expect(secure.headers.get('strict-transport-security')).toMatch(/^max-age=31536000/);
  });
});

describe('each transport carries its own operations', () => {
  const watchUnknown = `subscription { applicationStatus(id: "${unknownId}") { status } }`;

  test('queries and mutations over HTTP alone', async ({ stack }) => {
    for (const document of ['{ __typename }', 'mutation { __typename }']) {
      expect(await failureOf(url(stack), 'http', document)).toBeUndefined();
      for (const transport of ['ws', 'sse'] as const) {
        expect((await failureOf(url(stack), transport, document))?.extensions).toEqual({ code: 'BAD_REQUEST' });
      }
    }
    const { data } = await stack.client.request(submitDocument, { input: goodInput }, { accept: '*/*' });
    expect(data.submitApplication.replayed).toBe(false);
  });

  test('subscriptions over WebSocket and SSE alone', async ({ stack }) => {
    for (const transport of ['ws', 'sse'] as const) {
      expect((await failureOf(url(stack), transport, watchUnknown))?.extensions['code']).toBe('NOT_FOUND');
    }
    for (const accept of ['application/json', '*/*', 'multipart/mixed, application/json']) {
      const answer = await post(url(stack), JSON.stringify({ query: watchUnknown }), { accept });
      expect([answer.status, await codeOf(answer)], accept).toEqual([406, 'BAD_REQUEST']);
    }
  });
});

describe('in production', () => {
  const askSchema = {
    http: '{ __schema { queryType { name } } }',
    stream: 'subscription { __schema { description } }',
  };
  const misspelt = { http: '{ applicatio { id } }', stream: 'subscription { applicationStatu { status } }' };
  const of = (documents: { http: string; stream: string }, transport: string) =>
    transport === 'http' ? documents.http : documents.stream;

  test.for(transports)(
    'the schema is not told over %s, neither when asked nor by suggestion',
    async (transport, { stack }) => {
      await using production = await startGateway(inProduction(stack.envOf('gateway')));
      const introspection = await failureOf(production.url, transport, of(askSchema, transport));
      expect(introspection?.extensions['code']).toBe('GRAPHQL_VALIDATION_FAILED');
      expect(introspection?.message).toContain('introspection');
      const wrong = await failureOf(production.url, transport, of(misspelt, transport));
      expect(wrong?.message).toMatch(/^Cannot query field "\w+" on type "\w+"\.$/);
      expect((await failureOf(url(stack), transport, of(misspelt, transport)))?.message).toContain('Did you mean');
    },
  );

  test('and in development it is', async ({ stack }) => {
    expect(await failureOf(url(stack), 'http', askSchema.http)).toBeUndefined();
  });
});

describe('registered documents', () => {
  const registered = ['{ __typename }', `subscription { applicationStatus(id: "${unknownId}") { status } }`];
  const hashOf = (document: string) => createHash('sha256').update(document).digest('hex');
  const register = async (stack: TestStack, documents: Record<string, string>) => {
    const file = join(stack.envOf('gateway')['PREQUAL_DATA_DIR'] ?? '', `trusted-${Math.random()}.json`);
    await writeFile(file, JSON.stringify(documents));
    return { GATEWAY_TRUSTED_DOCUMENTS: file };
  };
  const sound = Object.fromEntries(registered.map((document) => [hashOf(document), document]));

  test('are run, by text or by hash, and no other on any transport', async ({ stack }) => {
    await using gateway = await gatewayWith(stack, await register(stack, sound));
    for (const transport of transports) {
      const [document = '', kind] = transport === 'http' ? [registered[0], '{'] : [registered[1], 'subscription {'];
      expect((await failureOf(gateway.url, transport, document))?.extensions['code']).toBe(
        transport === 'http' ? undefined : 'NOT_FOUND',
      );
      for (const other of [`${document} `, `${kind} a: __typename }`, '{']) {
        const refused = await failureOf(gateway.url, transport, other);
        expect(refused?.extensions).toEqual({ code: 'DOCUMENT_NOT_TRUSTED' });
      }
    }
    const byHash = (hash: string) =>
      JSON.stringify({ extensions: { persistedQuery: { version: 1, sha256Hash: hash } } });
    const known = await post(gateway.url, byHash(hashOf('{ __typename }')));
    expect(await known.json()).toEqual({ data: { __typename: 'Query' } });
    expect(await codeOf(await post(gateway.url, byHash(hashOf('{ other }'))))).toBe('DOCUMENT_NOT_TRUSTED');
    const parameter = encodeURIComponent(JSON.stringify({ persistedQuery: { sha256Hash: hashOf('{ __typename }') } }));
    const get = await fetch(`${gateway.url}/graphql?extensions=${parameter}`, {
      headers: { accept: 'application/json' },
    });
    expect(await get.json()).toEqual({ data: { __typename: 'Query' } });
    await using raw = await rawSocket(gateway.url);
    const extensions = { persistedQuery: { sha256Hash: hashOf(registered[1] ?? '') } };
    raw.send({ id: '1', type: 'subscribe', payload: { query: '', extensions } });
    expect(await raw.next()).toMatchObject({
      type: 'next',
      payload: { errors: [{ extensions: { code: 'NOT_FOUND' } }] },
    });
  });

  test('under a wrong hash keep the gateway from starting', async ({ stack }) => {
    const file = await register(stack, { [hashOf('{ a }')]: '{ b }' });
    await expect(gatewayWith(stack, file)).rejects.toThrow(/GATEWAY_TRUSTED_DOCUMENTS: has a wrong hash/);
    await expect(gatewayWith(stack, { GATEWAY_TRUSTED_DOCUMENTS: '/nowhere' })).rejects.toThrow(
      /must name a JSON file/,
    );
  });
});

describe('a socket', () => {
  test('has twenty subscriptions, and not one more until one is complete', async ({ stack }) => {
    await using _paused = await stack.without('scoring');
    const id = await submit(stack.client);
    await using gateway = await gatewayWith(stack, { GATEWAY_MAX_SUBSCRIPTIONS_PER_SOCKET: '20' });
    await using raw = await rawSocket(gateway.url);
    for (let index = 1; index <= 20; index += 1) {
      raw.send(watch(id, `${index}`));
      expect(await raw.next()).toMatchObject({ type: 'next', id: `${index}` });
    }
    raw.send(watch(id, '21'));
    expect(await raw.next()).toMatchObject({
      type: 'error',
      id: '21',
      payload: [{ extensions: { code: 'TOO_MANY_SUBSCRIPTIONS', max: 20 } }],
    });
    raw.send({ id: '7', type: 'complete' });
    raw.send(watch(id, '22'));
    expect(await raw.next()).toMatchObject({ type: 'next', id: '22' });
  });

  test('that sends too fast is closed with a code after which clients connect again', async ({ stack }) => {
    await using gateway = await gatewayWith(stack, { GATEWAY_MAX_SOCKET_MESSAGES_PER_SECOND: '10' });
    await using calm = await rawSocket(gateway.url);
    // Its connection_init was the first.
    for (let index = 0; index < 9; index += 1) calm.send({ type: 'ping' });
    for (let index = 0; index < 9; index += 1) expect(await calm.next()).toEqual({ type: 'pong' });
    await using hasty = await rawSocket(gateway.url);
    for (let index = 0; index < 25; index += 1) hasty.send({ type: 'ping' });
    expect(await hasty.closed).toBe(1013);
    await using frames = await rawSocket(gateway.url);
    for (let index = 0; index < 25; index += 1) frames.socket.ping();
    expect(await frames.closed).toBe(1013);
    expect(calm.socket.readyState).toBe(calm.socket.OPEN);
  });

  test('takes a frame of its limit and is closed beyond', async ({ stack }) => {
    const ping = (bytes: number) => {
      const empty = JSON.stringify({ type: 'ping', payload: { text: '' } });
      return JSON.stringify({ type: 'ping', payload: { text: 'x'.repeat(bytes - empty.length) } });
    };
    await using raw = await rawSocket(url(stack));
    raw.send(ping(16 * 1024));
    expect(await raw.next()).toMatchObject({ type: 'pong' });
    raw.send(ping(16 * 1024 + 1));
    expect(await raw.closed).toBe(1009);
  });

  test('that does not read is cut while others go on', async ({ stack }) => {
    await using gateway = await gatewayWith(stack, {
      GATEWAY_SLOW_CLIENT_MS: '500',
      GATEWAY_MAX_SOCKET_MESSAGES_PER_SECOND: '0',
    });
    await using reading = await rawSocket(gateway.url);
    await using slow = await rawSocket(gateway.url);
    slow.socket.pause();
    const load = JSON.stringify({ type: 'ping', payload: { text: 'x'.repeat(16_000) } });
    let cut = false;
    slow.socket.on('error', () => undefined);
    const tcp = Reflect.get(slow.socket, '_socket') as NodeJS.EventEmitter;
    tcp.once('close', () => {
      cut = true;
    });
    await expect
      .poll(
        () => {
          for (let index = 0; index < 100; index += 1) slow.socket.send(load, () => undefined);
          return cut;
        },
        { timeout: 15_000, interval: 50 },
      )
      .toBe(true);
    reading.send({ type: 'ping' });
    expect(await reading.next()).toEqual({ type: 'pong' });
  });
});

describe('handshakes', () => {
  test('of other origins are refused before there is a socket', async ({ stack }) => {
    expect(await handshake(url(stack), { origin: 'https://partner.example' })).toBe(101);
    expect(await handshake(url(stack), { origin: url(stack) })).toBe(101);
    for (const origin of ['https://elsewhere.example', 'null', 'https://partner.example.evil.example']) {
      expect(await handshake(url(stack), { origin })).toBe(403);
    }
  });

  test('from one address are so many a minute', async ({ stack }) => {
    const limited = { GATEWAY_MAX_SOCKETS_PER_ADDRESS_PER_MINUTE: '3', GATEWAY_TRUSTED_PROXIES: '1' };
    await using gateway = await gatewayWith(stack, limited);
    const from = (address: string) => handshake(gateway.url, { 'x-forwarded-for': address });
    const statuses = [];
    for (let index = 0; index < 4; index += 1) statuses.push(await from('203.0.113.7'));
    expect(statuses).toEqual([101, 101, 101, 429]);
    // What a client writes itself stands further left, and helps nobody.
    expect(await from('198.51.100.1, 203.0.113.7')).toBe(429);
    expect(await from('203.0.113.8')).toBe(101);
  });

  test('without trusted proxies the header is ignored', async ({ stack }) => {
    await using gateway = await gatewayWith(stack, { GATEWAY_MAX_SOCKETS_PER_ADDRESS_PER_MINUTE: '1' });
    expect(await handshake(gateway.url, { 'x-forwarded-for': '203.0.113.7' })).toBe(101);
    expect(await handshake(gateway.url, { 'x-forwarded-for': '203.0.113.8' })).toBe(429);
  });
});

describe('one address', () => {
  test.for(transports)(
    'may send so much of new documents a minute over %s, and known ones as often as it likes',
    async (transport, { stack }) => {
      await using gateway = await gatewayWith(stack, { GATEWAY_MAX_NEW_DOCUMENT_CHARS_PER_ADDRESS_PER_MINUTE: '250' });
      const ask = async (alias: string) => {
        const document =
          transport === 'http'
            ? `query { ${alias}: application(id: "no id") { id status version } }`
            : `subscription { ${alias}: applicationStatus(id: "no id") { status } }`;
        try {
          return (await failureOf(gateway.url, transport, document.padEnd(100, ' ')))?.extensions;
        } catch (error) {
          // What the SSE client tells of an answer that is no stream.
          return String(error);
        }
      };
      const served = transport === 'http' ? undefined : { code: 'NOT_FOUND' };
      expect([await ask('a'), await ask('b')]).toEqual([served, served]);
      const refused = { code: 'RATE_LIMITED', retryAfterMs: expect.any(Number) };
      expect(await ask('c')).toEqual(
        transport === 'sse' ? 'NetworkError: Server responded with 429: Too Many Requests' : refused,
      );
      expect(await ask('a')).toEqual(served);
    },
  );

  test('may send so many requests a second', async ({ stack }) => {
    const limited = { GATEWAY_MAX_REQUESTS_PER_ADDRESS_PER_SECOND: '5', GATEWAY_TRUSTED_PROXIES: '1' };
    await using gateway = await gatewayWith(stack, limited);
    const from = (address: string) => post(gateway.url, query, { 'x-forwarded-for': address });
    const answers = await Promise.all(Array.from({ length: 30 }, () => from('203.0.113.7')));
    const refused = answers.filter(({ status }) => status === 429);
    expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThanOrEqual(5);
    expect(refused.length).toBeGreaterThanOrEqual(10);
    expect(await refused[0]?.json()).toMatchObject({
      errors: [{ extensions: { code: 'RATE_LIMITED', retryAfterMs: expect.any(Number) } }],
    });
    expect(refused[0]?.headers.get('retry-after')).toBe('1');
    expect((await from('203.0.113.8')).status).toBe(200);
  });

  test('may begin so many operations a second on its sockets', async ({ stack }) => {
    await using gateway = await gatewayWith(stack, { GATEWAY_MAX_REQUESTS_PER_ADDRESS_PER_SECOND: '5' });
    await using raw = await rawSocket(gateway.url);
    const wanted = Array.from({ length: 30 }, (_each, index) => String(index));
    for (const id of wanted) raw.send(watch(unknownId, id));
    const answers = new Map<string | undefined, string>();
    while (answers.size < wanted.length) {
      const { id, type, payload } = await raw.next();
      if (type !== 'complete') answers.set(id, JSON.stringify(payload));
    }
    const refused = [...answers].filter(([, answer]) => answer.includes('RATE_LIMITED')).map(([id]) => id);
    expect(refused.length).toBeGreaterThanOrEqual(10);
    expect(refused).not.toContain('0');
    // The socket stays, and what comes later is served.
    await vi.waitFor(async () => {
      raw.send(watch(unknownId, 'later'));
      let answer = await raw.next();
      while (answer.id !== 'later') answer = await raw.next();
      expect(JSON.stringify(answer.payload)).toContain('NOT_FOUND');
    }, 10_000);
  });
});

describe('places for streams', () => {
  const openStream = async (gatewayUrl: string, id: string, address: string) => {
    const gone = new AbortController();
    const answer = await fetch(`${gatewayUrl}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'text/event-stream', 'x-forwarded-for': address },
      body: JSON.stringify({ query: watchDocument, variables: { id } }),
      signal: gone.signal,
    });
    return { answer, leave: () => gone.abort() };
  };

  test.for<[string, NodeJS.ProcessEnv, string, number, string]>([
    ['of one address', { GATEWAY_MAX_STREAMS_PER_ADDRESS: '2' }, '203.0.113.7', 429, 'RATE_LIMITED'],
    ['in all', { GATEWAY_MAX_STREAMS: '2' }, '203.0.113.8', 503, 'UNAVAILABLE'],
  ])('%s are shared by sockets and SSE, and given back', async ([_what, limit, other, status, code], { stack }) => {
    await using _paused = await stack.without('scoring');
    const id = await submit(stack.client);
    await using gateway = await gatewayWith(stack, { ...limit, GATEWAY_TRUSTED_PROXIES: '1' });
    const [first, second] = await Promise.all([
      openStream(gateway.url, id, '203.0.113.7'),
      openStream(gateway.url, id, '203.0.113.7'),
    ]);
    expect([first.answer.status, second.answer.status]).toEqual([200, 200]);
    const refused = await openStream(gateway.url, id, other);
    expect([refused.answer.status, await codeOf(refused.answer)]).toEqual([status, code]);
    expect(Number(refused.answer.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await handshake(gateway.url, { 'x-forwarded-for': other })).toBe(status);
    // Requests that are answered at once need no place.
    expect((await post(gateway.url, query, { 'x-forwarded-for': other })).status).toBe(200);
    first.leave();
    await expect.poll(() => handshake(gateway.url, { 'x-forwarded-for': other })).toBe(101);
    second.leave();
  });
});

test('a connection that is cut in its handshake gives its place back', async ({ stack }) => {
  await using gateway = await gatewayWith(stack, { GATEWAY_MAX_STREAMS: '1' });
  const { port } = new URL(gateway.url);
  const socket = connect(Number(port), '127.0.0.1');
  await once(socket, 'connect');
  socket.write('GET /graphql HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  socket.resume();
  socket.on('error', () => undefined);
  await once(socket, 'close');
  await expect.poll(() => handshake(gateway.url)).toBe(101);
  await using client = connectClient(gateway.url);
  expect((await client.request('{ __typename }')).status).toBe(200);
});
