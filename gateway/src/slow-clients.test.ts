import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { cutSlowClients } from './slow-clients.ts';

/** A real server with one response that is open, and a client of it that reads or does not. */
async function openResponse(isReading: boolean): Promise<{ response: ServerResponse; isCut: () => boolean }> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  client.on('error', () => undefined);
  if (isReading) client.resume();
  else client.pause();
  const [, response] = (await once(server, 'request')) as [unknown, ServerResponse];
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  onTestFinished(async () => {
    client.destroy();
    response.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return { response, isCut: () => response.destroyed };
}

test('an SSE client that does not read is cut after the time it is given, one that reads is not', async () => {
  const [slow, reading] = await Promise.all([openResponse(false), openResponse(true)]);
  const responses = [slow.response, reading.response];
  const begunAt = performance.now();
  using _looking = cutSlowClients({ maxWaitingBytes: 8_192, maxSlowMs: 300 }, () =>
    responses.map((response) => ({
      client: response,
      waitingBytes: response.writableLength,
      cut: () => response.destroy(),
    })),
  );
  const event = `event: next\ndata: ${'x'.repeat(1_000_000)}\n\n`;
  // More than the system takes for itself.
  for (let index = 0; index < 16; index += 1) for (const response of responses) response.write(event);
  await expect.poll(slow.isCut).toBe(true);
  expect(performance.now() - begunAt).toBeGreaterThanOrEqual(290);
  expect(reading.isCut()).toBe(false);
});

test('a client for whom as much waits as may wait is left alone, and so is one that catches up in time', async () => {
  const cut: string[] = [];
  const waiting = { atLimit: 100, catchingUp: 101, slow: 101 };
  const clients = Object.keys(waiting).map((name) => ({ name }));
  using _looking = cutSlowClients({ maxWaitingBytes: 100, maxSlowMs: 200 }, () =>
    clients.map((client) => ({
      client,
      waitingBytes: waiting[client.name as keyof typeof waiting],
      cut: () => cut.push(client.name),
    })),
  );
  const relief = setInterval(() => {
    waiting.catchingUp = waiting.catchingUp === 101 ? 0 : 101;
  }, 70);
  onTestFinished(() => clearInterval(relief));
  await expect.poll(() => cut.length).toBeGreaterThanOrEqual(2);
  expect(new Set(cut)).toEqual(new Set(['slow']));
});
