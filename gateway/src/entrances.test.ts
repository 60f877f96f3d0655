import { once } from 'node:events';
import { createServer, get } from 'node:http';
import { connect, createServer as createSocketServer, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openEntrances } from './entrances.ts';

const host = '127.0.0.1';

async function opened(port = 0) {
  const door = createServer((_request, response) => response.end('welcome'));
  const entrances = await openEntrances(door, { host, port });
  onTestFinished(() => {
    door.closeAllConnections();
    void entrances[Symbol.asyncDispose]();
  });
  return { door, entrances, port: Number(new URL(entrances.url).port) };
}

async function ask(url: string): Promise<string> {
  const [response] = await once(get(url, { agent: false }), 'response');
  return text(response);
}

// Elsewhere than on Linux sockets cannot share what comes.
describe.runIf(process.platform === 'linux')('the entrances of a door', () => {
  test('let in many clients with each turn of the event loop', async () => {
    const { door, port } = await opened();
    const came: Socket[] = [];
    door.on('connection', (socket: Socket) => came.push(socket));
    const clients = Array.from({ length: 60 }, () => connect(port, host));
    onTestFinished(() => clients.forEach((client) => client.destroy()));
    let turns = 0;
    for (; came.length < clients.length && turns < 1_000; turns += 1) await turn();
    expect(came).toHaveLength(clients.length);
    // Where chance sends several to one socket, they come in one after the other.
    expect(turns).toBeLessThan(12);
  });

  test('are not shared with a second gateway', async () => {
    const { port } = await opened();
    await expect(openEntrances(createServer(), { host, port })).rejects.toThrow(
      `The address ${host}:${port} is occupied by another program.`,
    );
  });

  test('are had by one of two gateways that start together', async () => {
    const { entrances, port } = await opened();
    await entrances[Symbol.asyncDispose]();
    for (let steps = 0; steps < 40; steps += 1) {
      const first = openEntrances(createServer(), { host, port });
      for (let waited = 0; waited < steps; waited += 1) await new Promise<void>((resolve) => process.nextTick(resolve));
      const starting = [first, openEntrances(createServer(), { host, port })];
      const outcomes = await Promise.allSettled(starting);
      expect(outcomes.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
      for (const outcome of outcomes) if (outcome.status === 'fulfilled') await outcome.value[Symbol.asyncDispose]();
    }
  });

  test('are refused where somebody listens already', async () => {
    const other = createSocketServer().listen(0, host);
    onTestFinished(() => void other.close());
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    await expect(openEntrances(createServer(), { host, port })).rejects.toThrow('is occupied by another program');
  });

  test('may be opened again as soon as they are closed, and closed let nobody in', async () => {
    const first = await opened();
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(first.entrances.url)));
    expect(answers).toEqual(answers.map(() => 'welcome'));
    await first.entrances[Symbol.asyncDispose]();
    await expect(ask(first.entrances.url)).rejects.toThrow('ECONNREFUSED');
    const second = await opened(first.port);
    expect(await ask(second.entrances.url)).toBe('welcome');
  });

  test('are closed when the last of those who came has left', async () => {
    const { door, entrances, port } = await opened();
    const clients = Array.from({ length: 10 }, () => connect(port, host));
    let came = 0;
    let left = 0;
    door.on('connection', (socket: Socket) => {
      came += 1;
      socket.once('close', () => (left += 1));
    });
    while (came < clients.length) await turn();
    let hasClosed = false;
    const closing = entrances[Symbol.asyncDispose]().then(() => (hasClosed = true));
    for (const client of clients.slice(1)) client.destroy();
    while (left < clients.length - 1) await turn();
    expect(hasClosed).toBe(false);
    clients[0]?.destroy();
    await closing;
    expect(hasClosed).toBe(true);
  });
});
