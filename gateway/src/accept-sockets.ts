import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { type Logger, pathOf } from '@prequal/service';
import type { WebSocket, WebSocketServer } from 'ws';
import { createAllowances } from './allowances.ts';
import { clientAddress } from './client-address.ts';
import { headerOf } from './http-request.ts';
import type { StreamPlaces } from './stream-limits.ts';

export type SocketRules = {
  path: string;
  isOpen: () => boolean;
  allowedOrigins: readonly string[];
  places: StreamPlaces;
  maxMessagesPerSecond: number;
  trustedProxies: number;
  log: Logger;
};

/** Clients connect again, later. */
const tryAgainLater = 1013;

/** Everything that is decided before there is a socket, and the pace of what comes over it. */
export function acceptSockets(server: Server, sockets: WebSocketServer, rules: SocketRules): void {
  const { path, isOpen, places, log } = rules;
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => socket.destroy());
    if (pathOf(request) !== path) return refuse(socket, '404 Not Found');
    if (!isOpen()) return refuse(socket, '503 Service Unavailable', 1);
    if (!isAllowedOrigin(request, rules.allowedOrigins)) return refuse(socket, '403 Forbidden');
    const place = places.enter(clientAddress(request, rules.trustedProxies), 'socket');
    if (typeof place !== 'function') {
      const status = place.reason === 'all' ? '503 Service Unavailable' : '429 Too Many Requests';
      return refuse(socket, status, place.retryAfterSeconds);
    }
    socket.once('close', place);
    sockets.handleUpgrade(request, socket, head, (opened) => {
      limitPace(opened, rules.maxMessagesPerSecond);
      keepQuiet(opened);
      sockets.emit('connection', opened, request);
      // The library would print a client's protocol error on the console. ws has closed the socket by then.
      opened.removeAllListeners('error');
      opened.on('error', (error) => log.debug({ err: error }, 'a WebSocket client broke the protocol'));
    });
  });
}

function limitPace(socket: WebSocket, maxPerSecond: number): void {
  const pace = createAllowances(maxPerSecond, 1_000);
  const count = () => {
    if (pace.take('')) return;
    // What it sends until it is gone is not looked at any more.
    socket.removeAllListeners('message');
    socket.removeAllListeners('ping');
    socket.close(tryAgainLater, 'Too many messages a second. Connect again and send fewer.');
  };
  socket.on('message', count);
  socket.on('ping', count);
}

/** What could not be written was for a socket that is gone, as its close tells; the library would print each time. */
function keepQuiet(socket: WebSocket): void {
  const send = socket.send.bind(socket) as (data: string, sent: () => void) => void;
  socket.send = (data: unknown, sent?: unknown) => {
    send(data as string, () => typeof sent === 'function' && sent());
  };
}

/** Before the upgrade: a page of another origin must not open a socket in its visitor's name. */
function isAllowedOrigin(request: IncomingMessage, allowed: readonly string[]): boolean {
  const origin = headerOf(request, 'origin');
  if (origin === undefined || allowed.includes(origin)) return true;
  return URL.canParse(origin) && new URL(origin).host === headerOf(request, 'host');
}

function refuse(socket: Duplex, status: string, retryAfterSeconds?: number): void {
  const retry = retryAfterSeconds === undefined ? '' : `retry-after: ${retryAfterSeconds}\r\n`;
  socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n${retry}\r\n`);
}
