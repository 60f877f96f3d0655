import { randomBytes } from 'node:crypto';
import diagnostics from 'node:diagnostics_channel';
import { once } from 'node:events';
import { connect } from 'node:net';
import { Refusal, type StatusUpdate } from '@prequal/schema';
import { createLog, createMetrics, readConfig } from '@prequal/service';
import { connectClient, quiet } from '@prequal/testing';
import type { GraphQLFormattedError } from 'graphql';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { gatewayConfig, gatewayRules } from './config.ts';
import type { UseCases } from './context.ts';
import { createGraphql } from './create-graphql.ts';
import { createDocumentGate } from './document-gate.ts';
import { doorOptions } from './door-options.ts';
import { type ServerOptions, serveGateway } from './server.ts';
import { UpdateStream } from './update-stream.ts';

const analyst = { subject: 'ana', roles: ['analyst' as const] };

/** The gateway's door, with the stream that `watchDecisions` answers behind it; nothing else is asked of it. */
async function openDoor(
  watch: UseCases['decisions']['watch'],
  {
    identify = async () => ({ viewer: analyst }),
    log = quiet,
    pingPeriodMs = 60_000,
  }: Partial<Pick<ServerOptions, 'identify' | 'log'>> & { pingPeriodMs?: number } = {},
) {
  const key = () => `test-1:${randomBytes(32).toString('base64')}`;
  const env = {
    NATS_URL: 'nats://127.0.0.1:1',
    DATABASE_URL: 'postgres://none/none',
    GATEWAY_PORT: '0',
    PAN_ENCRYPTION_KEYS: key(),
    PAN_INDEX_KEYS: key(),
  };
  const config = readConfig(gatewayConfig, env, gatewayRules);
  const gate = createDocumentGate(config, undefined);
  const options = doorOptions(config);
  const door = await serveGateway({
    health: { dependencies: [], isServing: () => true, metrics: createMetrics('gateway') },
    tls: undefined,
    ...options,
    sockets: { ...options.sockets, pingPeriodMs },
    identify,
    log,
  });
  const useCases = { decisions: { watch } } as unknown as UseCases;
  const graphiql = () => Promise.reject(new Error('there is no page here'));
  door.serve(createGraphql({ config, useCases, gate, graphiql, log: quiet }));
  const client = connectClient(door.url);
  onTestFinished(async () => {
    await client[Symbol.asyncDispose]();
    await door[Symbol.asyncDispose]();
  });
  return { door, client };
}

const decisions = 'subscription { decisions { status version reasons { message } } }';

const update: StatusUpdate = {
  applicationId: '01890a5d-ac96-774b-bcce-b302099a8057',
  status: 'REJECTED',
  version: 2,
  occurredAt: new Date('2026-11-24T09:30:00.000Z'),
  cibilScore: 600,
  reasons: [],
};

/** All that a client is told of a stream, whatever way its library says it. */
async function toldOver(transport: 'ws' | 'sse', client: ReturnType<typeof connectClient>) {
  const told: unknown[] = [];
  const codes = (errors: readonly Pick<GraphQLFormattedError, 'message' | 'extensions'>[]) =>
    errors.map(({ message, extensions }) => `${String(extensions?.['code'])}: ${message}`);
  try {
    for await (const { data, errors } of client.subscribe(transport, decisions)) {
      told.push(errors ? codes(errors) : data.decisions.version);
      if (told.length > 10) break;
    }
  } catch (error) {
    told.push(codes(error as GraphQLFormattedError[]));
  }
  return told;
}

describe.each(['ws', 'sse'] as const)('a stream over %s that fails', (transport) => {
  test.each([
    [new Refusal('UNAVAILABLE', 'You are too slow.'), 'UNAVAILABLE: You are too slow.'],
    [
      new Error('secret internals'),
      'INTERNAL: Something went wrong on our side. Quote the correlation id when you report it.',
    ],
  ])('with %s tells it once, and ends', async (failure, sentence) => {
    const { client } = await openDoor(async () => {
      const stream = new UpdateStream<StatusUpdate>({ onLeave: () => undefined, onTake: () => stream.cut(failure) });
      stream.push(update);
      return stream;
    });
    expect(await toldOver(transport, client)).toEqual([2, [sentence]]);
  });
});

describe('the door', () => {
  const nobody = () => Promise.reject(new Error('nobody watches here'));

  test('answers all requests of a turn before it writes to any client', async () => {
    const { door } = await openDoor(nobody);
    const body = JSON.stringify({ query: '{ __typename }' });
    const head = `POST /graphql HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`;
    const clients = [0, 1, 2].map(() => connect(Number(new URL(door.url).port), '127.0.0.1'));
    onTestFinished(() => clients.forEach((client) => client.destroy()));
    const order: string[] = [];
    const on = (channel: string, event: string) => {
      const note = () => void order.push(event);
      diagnostics.subscribe(channel, note);
      onTestFinished(() => void diagnostics.unsubscribe(channel, note));
    };
    const ask = async () => {
      const answers = clients.map((client) => once(client, 'data'));
      for (const client of clients) client.write(head + body);
      await Promise.all(answers);
    };
    // The first time the document is read.
    await ask();
    on('http.server.request.start', 'came');
    on('http.server.response.finish', 'written');
    await ask();
    expect(order).toEqual(['came', 'came', 'came', 'written', 'written', 'written']);
  });

  test('lets nobody in once it is closed', async () => {
    const { door } = await openDoor(nobody);
    await door[Symbol.asyncDispose]();
    for (let client = 0; client < 20; client += 1) {
      const [error] = await once(connect(Number(new URL(door.url).port), '127.0.0.1'), 'error');
      expect(error).toMatchObject({ code: 'ECONNREFUSED' });
    }
  });
});

describe.each(['ws', 'sse'] as const)('a client over %s that leaves before its stream has begun', (transport) => {
  test('is let go', async () => {
    const begun = Promise.withResolvers<AbortSignal>();
    const { client } = await openDoor(async (_filter, gone) => {
      begun.resolve(gone);
      await once(gone, 'abort');
      return new UpdateStream<StatusUpdate>({ onLeave: () => undefined });
    });
    const first = client.subscribe(transport, decisions).next();
    first.catch(() => undefined);
    const gone = await begun.promise;
    expect(gone.aborted).toBe(false);
    await client[Symbol.asyncDispose]();
    await vi.waitFor(() => expect(gone.aborted).toBe(true), 10_000);
  });
});

function openSocket(door: { url: string }, headers: Record<string, string> = {}): WebSocket {
  const socket = new WebSocket(`${door.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws', { headers });
  onTestFinished(() => socket.terminate());
  return socket;
}

const init = '{"type":"connection_init"}';
const subscribeAs = (id: string) => JSON.stringify({ id, type: 'subscribe', payload: { query: decisions } });
const subscribe = subscribeAs('1');

test('what fails of our own while a socket is served closes it, and is in the log', async () => {
  const lines: string[] = [];
  const log = createLog('gateway', 'error', { write: (line: string) => void lines.push(line) });
  const identify = () => Promise.reject(new Error('the keys are gone'));
  const { door } = await openDoor(() => Promise.reject(new Error('no stream')), { identify, log });
  const socket = openSocket(door);
  await once(socket, 'open');
  socket.send(init);
  const [code, reason] = await once(socket, 'close');
  expect([code, String(reason)]).toEqual([4500, 'Internal server error']);
  await vi.waitFor(() => expect(lines).toHaveLength(1), 10_000);
  expect(lines[0]).toContain('the keys are gone');
});

test.each([
  ['says what only a server may', ['{"type":"next","id":"1","payload":{}}'], 4400],
  ['uses a long id twice', Array.from({ length: 2 }, () => subscribeAs('ü'.repeat(200))), 4409],
])('a client that %s is closed, and that is no failure of ours', async (_name, messages, code) => {
  const lines: string[] = [];
  const log = createLog('gateway', 'warn', { write: (line: string) => void lines.push(line) });
  const { door } = await openDoor(async () => new UpdateStream<StatusUpdate>({ onLeave: () => undefined }), { log });
  const socket = openSocket(door);
  await once(socket, 'open');
  socket.send(init);
  await once(socket, 'message');
  const closed = once(socket, 'close');
  for (const message of messages) socket.send(message);
  expect(await closed).toEqual([code, expect.any(Buffer)]);
  expect(lines).toEqual([]);
});

test('of a client that does not read no more is taken than it has room for, and then it misses nothing', async () => {
  const total = 10_000;
  const reasons = [{ code: 'LONG', message: 'x'.repeat(2_000) }];
  let taken = 0;
  const stream = new UpdateStream<StatusUpdate>({ onLeave: () => undefined, onTake: () => (taken += 1) });
  for (let version = 1; version <= total; version += 1) stream.push({ ...update, version, reasons });
  stream.end();
  const { door } = await openDoor(async () => stream);
  const socket = openSocket(door);
  const versions: number[] = [];
  const completed = Promise.withResolvers<void>();
  socket.on('message', (data: Buffer) => {
    const { type, payload } = JSON.parse(data.toString());
    if (type === 'connection_ack') {
      socket.pause();
      socket.send(subscribe);
    }
    if (type === 'next') versions.push(payload.data.decisions.version);
    if (type === 'complete') completed.resolve();
  });
  await once(socket, 'open');
  socket.send(init);
  // Until what lies between the two is full.
  let before = -1;
  await expect
    .poll(() => {
      const isStill = taken > 0 && taken === before;
      before = taken;
      return isStill;
    })
    .toBe(true);
  expect(taken).toBeLessThan(total);
  socket.resume();
  await completed.promise;
  expect(versions).toEqual(Array.from({ length: total }, (_, index) => index + 1));
});

test('sockets are pinged, and an error quotes the correlation id that the handshake named', async () => {
  const { door } = await openDoor(() => Promise.reject(new Error('no stream')), { pingPeriodMs: 100 });
  const socket = openSocket(door, { 'x-correlation-id': 'named-1' });
  const pinged = once(socket, 'ping');
  const messages: string[] = [];
  socket.on('message', (data: Buffer) => messages.push(data.toString()));
  await once(socket, 'open');
  socket.send(init);
  await vi.waitFor(() => expect(messages).toHaveLength(1), 10_000);
  socket.send(subscribe);
  await vi.waitFor(() => expect(messages[1]).toContain('"correlationId":"named-1"'), 10_000);
  await pinged;
});
