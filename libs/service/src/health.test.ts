import { createServer } from 'node:http';
import { describe, expect, onTestFinished, test } from 'vitest';
import { answerHealth, cannotListen, type Dependency, type Health, listen, serveHealth } from './health.ts';
import { Counter, createMetrics } from './metrics.ts';

const local = { host: '127.0.0.1', port: 0 };

const up = () => true;
const down = () => false;

function database(isConnected: Dependency['isConnected'], neededToServe = true): Dependency {
  return { name: 'database', isConnected, neededToServe };
}

function nats(isConnected: Dependency['isConnected'], neededToServe = true): Dependency {
  return { name: 'nats', isConnected, neededToServe };
}

async function served(health: Partial<Health>) {
  const server = await serveHealth(
    { dependencies: [], isServing: () => true, metrics: createMetrics('test'), ...health },
    local,
  );
  onTestFinished(() => server[Symbol.asyncDispose]());
  return async (path: string, init?: RequestInit) => {
    const response = await fetch(new URL(path, server.url), init);
    const text = await response.text();
    const isJson = response.headers.get('content-type') === 'application/json';
    return { status: response.status, body: isJson ? JSON.parse(text) : text, headers: response.headers };
  };
}

describe('everything connected', () => {
  test('/health says so, as the design spells it', async () => {
    const get = await served({ dependencies: [database(up), nats(async () => true)] });
    const { status, body, headers } = await get('/health');
    expect(status).toBe(200);
    expect(body).toEqual({ status: 'healthy', database: 'connected', nats: 'connected' });
    expect(headers.get('cache-control')).toBe('no-store');
  });

  test('/livez and /readyz are 200', async () => {
    const get = await served({ dependencies: [database(up), nats(up)] });
    expect(await get('/livez')).toMatchObject({ status: 200, body: { status: 'alive' } });
    expect(await get('/readyz')).toMatchObject({
      status: 200,
      body: { status: 'ready', database: 'connected', nats: 'connected' },
    });
  });
});

describe('a dependency that is away', () => {
  const away: [string, Dependency['isConnected']][] = [
    ['says no', down],
    ['says no later', async () => false],
    ['rejects', () => Promise.reject(new Error('refused'))],
    [
      'throws',
      () => {
        throw new Error('refused');
      },
    ],
  ];

  test.each(away)('and %s is disconnected in /health, and the process lives', async (_how, isConnected) => {
    const get = await served({ dependencies: [database(isConnected), nats(up)] });
    expect(await get('/health')).toMatchObject({
      status: 503,
      body: { status: 'unhealthy', database: 'disconnected', nats: 'connected' },
    });
    expect(await get('/readyz')).toMatchObject({ status: 503, body: { status: 'not ready' } });
    expect((await get('/livez')).status).toBe(200);
  });

  test.each(away)('and %s, but is not needed to serve, leaves the service ready', async (_how, isConnected) => {
    const get = await served({ dependencies: [database(up), nats(isConnected, false)] });
    expect(await get('/readyz')).toMatchObject({ status: 200, body: { status: 'ready' } });
    expect(await get('/health')).toMatchObject({ status: 503, body: { status: 'unhealthy', nats: 'disconnected' } });
  });

  test('is connected again as soon as it is back', async () => {
    let isUp = false;
    const get = await served({ dependencies: [database(() => isUp)] });
    expect((await get('/readyz')).status).toBe(503);
    isUp = true;
    expect((await get('/readyz')).status).toBe(200);
  });

  test('is not asked by /livez', async () => {
    let asked = 0;
    const get = await served({ dependencies: [database(() => ++asked > 0)] });
    await get('/livez');
    expect(asked).toBe(0);
    await get('/readyz');
    expect(asked).toBe(1);
  });
});

test('a service that is starting or stopping is alive, but neither ready nor healthy', async () => {
  const get = await served({ dependencies: [database(up)], isServing: () => false });
  expect((await get('/livez')).status).toBe(200);
  expect(await get('/readyz')).toMatchObject({ status: 503, body: { status: 'not ready' } });
  expect(await get('/health')).toMatchObject({ status: 503, body: { status: 'unhealthy', database: 'connected' } });
});

test('/metrics is Prometheus text with the service’s own figures and those of the process', async () => {
  const metrics = createMetrics('scoring');
  new Counter({ name: 'test_total', help: 'A test.', registers: [metrics] }).inc(3);
  const get = await served({ metrics });
  const { status, body, headers } = await get('/metrics');
  expect(status).toBe(200);
  expect(headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
  expect(body).toContain('test_total{service="scoring"} 3');
  expect(body).toMatch(/^process_cpu_seconds_total\{service="scoring"\} [\d.]+$/m);
});

test('each service has figures of its own', async () => {
  const [one, other] = [createMetrics('one'), createMetrics('other')];
  new Counter({ name: 'test_total', help: 'A test.', registers: [one] }).inc();
  expect(await one.metrics()).toContain('test_total');
  expect(await other.metrics()).not.toContain('test_total');
});

test.each(['/', '/nothing', '/healthz', '/health/', '/livez/x'])('%s is 404 and says where to look', async (path) => {
  const get = await served({});
  const { status, body } = await get(path);
  expect(status).toBe(404);
  expect(body.error).toContain('/readyz');
});

test('a query is no other address', async () => {
  const get = await served({});
  expect((await get('/livez?verbose=1')).status).toBe(200);
});

test('metrics that cannot be collected end the request, not the process', async () => {
  const metrics = createMetrics('test');
  metrics.metrics = () => Promise.reject(new Error('no figures'));
  const get = await served({ metrics });
  await expect(get('/metrics')).rejects.toThrow('fetch failed');
  expect((await get('/livez')).status).toBe(200);
});

test('answerHealth leaves every other request to the server it is part of', async () => {
  const health: Health = { dependencies: [], isServing: up, metrics: createMetrics('test') };
  const server = createServer((request, response) => {
    void (answerHealth(health, request, response) ?? response.end('mine'));
  });
  const url = await listen(server, local);
  onTestFinished(() => void server.close());
  expect(await (await fetch(`${url}/graphql`)).text()).toBe('mine');
  expect(await (await fetch(`${url}/livez`)).json()).toEqual({ status: 'alive' });
});

describe('listening', () => {
  test('on port 0 takes a free port and answers it', async () => {
    const server = createServer();
    const url = await listen(server, local);
    onTestFinished(() => void server.close());
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:[1-9]\d*$/);
  });

  test('on a port that is taken is refused', async () => {
    const first = createServer();
    const url = await listen(first, local);
    onTestFinished(() => void first.close());
    await expect(listen(createServer(), { host: '127.0.0.1', port: Number(new URL(url).port) })).rejects.toThrow(
      /^The address 127\.0\.0\.1:\d+ is occupied by another program\./,
    );
  });

  test.each([
    ['EMFILE', 'cannot be had: this process has too many open files. Allow it more (ulimit -n).'],
    ['EACCES', 'cannot be had (EACCES). Set another host or port for this service.'],
  ])('that fails with %s says what to do', (code, sentence) => {
    const failure = cannotListen(Object.assign(new Error('listen'), { code }), { host: '127.0.0.1', port: 80 });
    expect(failure.message).toBe(`The address 127.0.0.1:80 ${sentence}`);
  });

  test('after disposal nobody answers any more, also not on a connection that is kept alive', async () => {
    const server = await serveHealth({ dependencies: [], isServing: up, metrics: createMetrics('test') }, local);
    expect((await fetch(`${server.url}/livez`)).status).toBe(200);
    await server[Symbol.asyncDispose]();
    await expect(fetch(`${server.url}/livez`)).rejects.toThrow('fetch failed');
  });
});
