import { once } from 'node:events';
import { createServer } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { listen } from '@prequal/service';
import { expect, onTestFinished, test, vi } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { ClientSocket } from './client-socket.ts';
import { keepAlive } from './keep-alive.ts';

const periodMs = 200;

/** A server whose sockets are kept alive, and what its clients have seen. */
async function serving() {
  const server = createServer();
  const sockets = new WebSocketServer({ server, WebSocket: ClientSocket });
  const url = await listen(server, { host: '127.0.0.1', port: 0 });
  const beat = keepAlive(() => sockets.clients, periodMs);
  onTestFinished(() => {
    beat[Symbol.dispose]();
    for (const socket of sockets.clients) socket.terminate();
    server.close();
  });
  return {
    sockets,
    connect: async (options: { autoPong: boolean }) => {
      const socket = new WebSocket(url.replace('http', 'ws'), options);
      const seen = { pings: [] as number[], closedWith: undefined as number | undefined };
      socket.on('ping', () => seen.pings.push(performance.now()));
      socket.on('close', (code) => {
        seen.closedWith = code;
      });
      await once(socket, 'open');
      return seen;
    },
  };
}

test('a client that answers stays, one that does not is cut at its next turn', async () => {
  const { connect } = await serving();
  const [alive, dead] = [await connect({ autoPong: true }), await connect({ autoPong: false })];
  await vi.waitFor(() => expect(dead.closedWith).toBe(1006), 10_000);
  expect(dead.pings).toHaveLength(1);
  await vi.waitFor(() => expect(alive.pings.length).toBeGreaterThan(3), 10_000);
  expect(alive.closedWith).toBeUndefined();
});

test('those that connect at once are pinged one after the other', async () => {
  const { connect } = await serving();
  const clients = await Promise.all(Array.from({ length: 50 }, () => connect({ autoPong: true })));
  await vi.waitFor(() => expect(clients.every(({ pings }) => pings.length > 1)).toBe(true), 10_000);
  const firsts = clients.map(({ pings }) => pings[0] ?? 0);
  expect(Math.max(...firsts) - Math.min(...firsts)).toBeGreaterThan(periodMs / 4);
});

test('nobody is cut because the process stood still', async () => {
  const { connect, sockets } = await serving();
  const client = await connect({ autoPong: true });
  const [socket] = sockets.clients;
  // A ping is under way, and its answer comes while nothing is read.
  if (!socket) throw new Error('the client is not connected');
  while (socket.hasAnswered) await nextTurn();
  const until = performance.now() + 3 * periodMs;
  while (performance.now() < until);
  await vi.waitFor(() => expect(client.pings.length).toBeGreaterThan(2), 10_000);
  expect(client.closedWith).toBeUndefined();
});
