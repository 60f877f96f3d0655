import { once } from 'node:events';
import { connect } from 'node:net';
import { startGateway } from '@prequal/gateway';
import { describe, expect, onTestFinished } from 'vitest';
import { rawSocket, unknownId, watch } from './edge.ts';
import { submit, type TestStack, test } from './stack.ts';

const url = (stack: TestStack) => stack.client.url.replace('/graphql', '');

describe('graphql-transport-ws', () => {
  test.for([
    ['none', ''],
    ['that of its predecessor', 'Sec-WebSocket-Protocol: graphql-ws\r\n'],
  ])('a subprotocol that is %s is closed with 4406', async ([_what, header], { stack }) => {
    // Over TCP: libraries give up before they have read the close code.
    const socket = connect(Number(new URL(url(stack)).port), '127.0.0.1');
    onTestFinished(() => void socket.destroy());
    socket.write(
      `GET /graphql HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n${header}\r\n`,
    );
    const received: Buffer[] = [];
    socket.on('data', (data) => received.push(data));
    const closeFrame = () => {
      const bytes = Buffer.concat(received);
      const begin = bytes.indexOf('\r\n\r\n') + 4;
      return bytes[begin] === 0x88 ? bytes.readUInt16BE(begin + 2) : undefined;
    };
    await expect.poll(closeFrame).toBe(4406);
  });

  test('connection_init is acknowledged, a second one is closed with 4429', async ({ stack }) => {
    await using raw = await rawSocket(url(stack), { init: false });
    raw.send({ type: 'connection_init', payload: {} });
    expect(await raw.next()).toEqual({ type: 'connection_ack' });
    raw.send({ type: 'connection_init' });
    expect(await raw.closed).toBe(4429);
  });

  test('so is one that does not wait for the acknowledgement', async ({ stack }) => {
    await using raw = await rawSocket(url(stack), { init: false });
    raw.send({ type: 'connection_init' });
    raw.send({ type: 'connection_init' });
    expect(await raw.closed).toBe(4429);
  });

  test('subscribe before connection_init is closed with 4401', async ({ stack }) => {
    await using raw = await rawSocket(url(stack), { init: false });
    raw.send(watch(unknownId, '1'));
    expect(await raw.closed).toBe(4401);
  });

  test('silence instead of connection_init is closed with 4408, and not before its time', async ({ stack }) => {
    await using gateway = await startGateway({ ...stack.envOf('gateway'), GATEWAY_INIT_TIMEOUT_MS: '400' });
    const begunAt = performance.now();
    await using raw = await rawSocket(gateway.url, { init: false });
    await using greeted = await rawSocket(gateway.url);
    expect(await raw.closed).toBe(4408);
    expect(performance.now() - begunAt).toBeGreaterThanOrEqual(390);
    greeted.send({ type: 'ping' });
    expect(await greeted.next()).toEqual({ type: 'pong' });
  });

  test('an id that is in use is closed with 4409', async ({ stack }) => {
    await using _paused = await stack.without('scoring');
    const id = await submit(stack.client);
    await using raw = await rawSocket(url(stack));
    raw.send(watch(id, 'same'));
    expect(await raw.next()).toMatchObject({ type: 'next', id: 'same' });
    raw.send(watch(id, 'same'));
    expect(await raw.closed).toBe(4409);
  });

  test.for([
    'no JSON',
    '7',
    'null',
    '[]',
    '{}',
    '{"type":"unknown"}',
    String.raw`"{\"type\":\"ping\"}"`,
    '{"type":"subscribe"}',
    '{"type":"subscribe","id":"1"}',
    '{"type":"subscribe","id":"","payload":{"query":"{a}"}}',
    '{"type":"subscribe","id":"1","payload":{"query":7}}',
    '{"type":"subscribe","id":"1","payload":{"query":"{a}","variables":7}}',
    '{"type":"complete"}',
    '{"type":"next","id":"1"}',
  ])('%s is closed with 4400', async (message, { stack }) => {
    await using raw = await rawSocket(url(stack));
    raw.send(message);
    expect(await raw.closed).toBe(4400);
  });

  test('a ping is answered with its payload, also before connection_init; a pong is taken', async ({ stack }) => {
    await using raw = await rawSocket(url(stack), { init: false });
    raw.send({ type: 'ping', payload: { at: 1 } });
    expect(await raw.next()).toEqual({ type: 'pong', payload: { at: 1 } });
    raw.send({ type: 'pong' });
    raw.send({ type: 'ping' });
    expect(await raw.next()).toEqual({ type: 'pong' });
    raw.socket.ping();
    await once(raw.socket, 'pong');
  });

  test('a stream ends with complete, after which its id is free', async ({ stack }) => {
    const id = await submit(stack.client);
    await using raw = await rawSocket(url(stack));
    for (let round = 0; round < 2; round += 1) {
      raw.send(watch(id, '1'));
      const messages = [await raw.next()];
      while (messages.at(-1)?.type === 'next') messages.push(await raw.next());
      expect(messages.at(-1)).toEqual({ type: 'complete', id: '1' });
    }
  });

  test('complete by the client ends the stream, and what it watched is let go', async ({ stack }) => {
    const watched = async () =>
      /^prequal_watched_applications\S* (\d+)$/m.exec(await (await fetch(`${gateway.url}/metrics`)).text())?.[1];
    const paused = await stack.without('scoring');
    const id = await submit(stack.client);
    await using gateway = await startGateway(stack.envOf('gateway'));
    await using raw = await rawSocket(gateway.url);
    raw.send(watch(id, '1'));
    expect(await raw.next()).toMatchObject({ type: 'next', id: '1' });
    expect(await watched()).toBe('1');
    raw.send({ type: 'complete', id: '1' });
    await expect.poll(watched).toBe('0');
    await paused[Symbol.asyncDispose]();
    // Nothing of it comes any more: the next message is the answer to the next ping.
    await expect
      .poll(
        async () => (await stack.client.request('query ($id: ID!) { application(id: $id) { status } }', { id })).data,
      )
      .toEqual({ application: { status: 'PRE_APPROVED' } });
    raw.send({ type: 'ping' });
    expect(await raw.next()).toEqual({ type: 'pong' });
  });

  test('completing what is unknown harms nobody', async ({ stack }) => {
    await using raw = await rawSocket(url(stack));
    raw.send({ type: 'complete', id: 'nothing' });
    raw.send({ type: 'ping' });
    expect(await raw.next()).toEqual({ type: 'pong' });
  });

  test('an operation that cannot begin gets error and leaves the socket open', async ({ stack }) => {
    await using raw = await rawSocket(url(stack));
    raw.send(watch(unknownId, '1'));
    expect(await raw.next()).toMatchObject({
      type: 'next',
      id: '1',
      payload: { errors: [{ extensions: { code: 'NOT_FOUND' } }] },
    });
    expect(await raw.next()).toEqual({ type: 'complete', id: '1' });
    raw.send({ id: '2', type: 'subscribe', payload: { query: '{' } });
    expect(await raw.next()).toMatchObject({
      type: 'error',
      id: '2',
      payload: [{ extensions: { code: 'GRAPHQL_PARSE_FAILED' } }],
    });
    raw.send({ type: 'ping' });
    expect(await raw.next()).toEqual({ type: 'pong' });
  });
});
