import type { Server as HttpServer, IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type Logger, pathOf } from '@prequal/service';
import type { Server, WebSocket } from 'ws';
import { clientAddress } from './client-address.ts';
import type { ClientSocket } from './client-socket.ts';
import { headerOf } from './http-request.ts';
import type { StreamPlaces } from './stream-limits.ts';

export type SocketRules = {
  path: string;
  isOpen: () => boolean;
  /** what happens to a socket that is accepted */
  open: (socket: ClientSocket) => void;
  allowedOrigins: readonly string[];
  places: StreamPlaces;
  maxMessagesPerSecond: number;
  trustedProxies: number;
  log: Logger;
};

/** Clients connect again, later. */
const tryAgainLater = 1013;
const paceWindowMs = 1_000;

/** Everything that is decided before there is a socket, and the pace of what comes over it. */
export function acceptSockets(server: HttpServer, sockets: Server<typeof ClientSocket>, rules: SocketRules): void {
  const { path, isOpen, open, places, log } = rules;
  const onError = (error: Error) => log.debug({ err: error }, 'a WebSocket client broke the protocol');
  // Shared by all sockets.
  function countMessage(this: WebSocket): void {
    const socket = this as ClientSocket;
    const now = performance.now();
    if (now >= socket.windowEndsAt) {
      socket.windowEndsAt = now + paceWindowMs;
      socket.messagesLeft = rules.maxMessagesPerSecond;
    }
    socket.messagesLeft -= 1;
    if (socket.messagesLeft >= 0) return;
    // What it sends until it is gone is not looked at any more.
    socket.removeAllListeners('message');
    socket.removeAllListeners('ping');
    socket.close(tryAgainLater, 'Too many messages a second. Connect again and send fewer.');
  }

  server.on('upgrade', (request, socket, head) => {
    socket.on('error', destroy);
    if (pathOf(request) !== path) return refuse(socket, '404 Not Found');
    if (!isOpen()) return refuse(socket, '503 Service Unavailable', 1);
    if (!isAllowedOrigin(request, rules.allowedOrigins)) return refuse(socket, '403 Forbidden');
    const address = clientAddress(request, rules.trustedProxies);
    const place = places.enter(address, 'socket');
    if (typeof place !== 'function') {
      const status = place.reason === 'all' ? '503 Service Unavailable' : '429 Too Many Requests';
      return refuse(socket, status, place.retryAfterSeconds);
    }
    socket.once('close', place);
    sockets.handleUpgrade(request, socket, head, (opened) => {
      opened.on('message', countMessage);
      opened.on('ping', countMessage);
      opened.carrier = socket;
      opened.handshake = {
        address,
        authorization: headerOf(request, 'authorization'),
        correlationId: headerOf(request, 'x-correlation-id'),
        traceparent: headerOf(request, 'traceparent'),
      };
      // After an error ws has closed the socket.
      opened.on('error', onError);
      open(opened);
    });
  });
}

function destroy(this: Duplex): void {
  this.destroy();
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
