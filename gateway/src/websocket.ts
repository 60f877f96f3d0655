import { setMaxListeners } from 'node:events';
import { Refusal, type Viewer } from '@prequal/schema';
import { type Logger, traceOf } from '@prequal/service';
import { GraphQLError } from 'graphql';
import { CloseCode, MessageType, makeServer } from 'graphql-ws';
import type { WebSocket } from 'ws';
import type { Allowances } from './allowances.ts';
import { toRefusedError, unreadable, withoutHttp, withoutPan } from './client-errors.ts';
import type { ClientSocket, Session } from './client-socket.ts';
import type { RequestFacts } from './context.ts';
import type { Graphql } from './create-graphql.ts';
import { type HttpRefusal, tooManyRequests } from './http-request.ts';
import type { Operation } from './run-operation.ts';
import { atInstant, type Identify } from './viewer.ts';

/** Clients may connect again, and do well to get a new token first. */
const forbidden = 4403;
/** Clients connect again, later. */
const tryAgainLater = 1013;

const expired = new Refusal('UNAUTHENTICATED', 'The token has expired. Get a new one.');

export type SocketLimits = { maxSubscriptions: number; initTimeoutMs: number };

export type SocketOptions = {
  identify: Identify;
  /** operations by address */
  requests: Allowances;
  sockets: SocketLimits;
  log: Logger;
};

/**
 * GraphQL over WebSocket (graphql-transport-ws) with the very functions that serve HTTP. Answers how a socket is served
 * from then on. The library's own way from a socket of ws to its protocol keeps the bytes and the text of a subscription
 * for as long as that lasts, and makes listeners for each socket.
 */
export function graphqlOverWebSocket(
  graphql: Graphql,
  { identify, requests, sockets: limits, log }: SocketOptions,
): (socket: ClientSocket) => void {
  const protocol = makeServer<Record<string, unknown>, ClientSocket>({
    // By a timer of ours, which goes when the client has said who it is.
    connectionInitWaitTimeout: 0,
    execute: (operation) => graphql.run(operation as Operation),
    subscribe: (operation) => graphql.stream(operation as Operation),
    onConnect: async ({ extra: socket, connectionParams }) => {
      expectNoInit(socket);
      const { viewer, expiresAtMs } = await identify(
        connectionParams?.['authorization'] ?? handshakeOf(socket).authorization,
      );
      if (viewer instanceof Refusal) {
        socket.close(viewer.code === 'UNAVAILABLE' ? tryAgainLater : forbidden, viewer.message);
        return false;
      }
      const session = openSession(socket, viewer);
      if (expiresAtMs !== undefined) {
        atInstant(expiresAtMs, session.gone.signal, () => {
          // A client that does not answer the close frame could go on sending.
          session.viewer = expired;
          socket.close(forbidden, expired.message);
        });
      }
      return true;
    },
    onSubscribe: async ({ extra: socket, connectionParams, subscriptions }, _id, payload) => {
      const { session } = socket;
      if (!session) throw new Error('an operation on a socket that nobody has identified');
      const { viewer, gone } = session;
      const handshake = handshakeOf(socket);
      const { address } = handshake;
      if (viewer instanceof Refusal) return [withoutHttp(toRefusedError(viewer))];
      // Itself included.
      if (Object.keys(subscriptions).length > limits.maxSubscriptions) return [tooMany(limits.maxSubscriptions)];
      if (!requests.take(address)) return [asGraphQLError(tooManyRequests(requests.msLeft()))];
      const facts: RequestFacts = {
        trace: traceOf({
          correlationId: text(connectionParams?.['x-correlation-id']) ?? handshake.correlationId,
          traceparent: handshake.traceparent,
        }),
        viewer,
        synthetic: false,
        address,
        carries: streamsAlone,
        gone: () => gone.signal,
      };
      try {
        const prepared = graphql.prepare(payload, facts);
        return 'document' in prepared ? prepared : prepared.map(withoutPan).map(withoutHttp);
      } catch (error) {
        // A throw would close the whole socket, with every other stream on it.
        return [withoutHttp(withoutPan(error instanceof GraphQLError ? error : unreadable()))];
      }
    },
  });

  // These are shared by all sockets.
  function onMessage(this: WebSocket, data: Buffer): void {
    const socket = this as ClientSocket;
    const message = readMessage(data.toString());
    if (isOfServers(message)) return socket.close(CloseCode.BadRequest, 'Invalid message received');
    socket.receive?.(message).catch((error: unknown) => {
      log.error({ err: error }, 'a message of a socket could not be handled');
      socket.close(CloseCode.InternalServerError, 'Internal server error');
    });
  }

  function onClose(this: WebSocket, code: number, reason: Buffer): void {
    const socket = this as ClientSocket;
    expectNoInit(socket);
    socket.closed?.(code, String(reason)).catch((error: unknown) => {
      log.error({ err: error }, 'what a socket carried could not be ended');
    });
    socket.session?.gone.abort('closed');
  }

  function onLateInit(socket: ClientSocket): void {
    socket.close(CloseCode.ConnectionInitialisationTimeout, 'Connection initialisation timeout');
  }

  return (socket) => {
    socket.initTimer = setTimeout(onLateInit, limits.initTimeoutMs, socket);
    socket.closed = protocol.opened(socket, socket);
    socket.on('message', onMessage);
    socket.once('close', onClose);
  };
}

const streamsAlone = { answers: false, streams: true };

function expectNoInit(socket: ClientSocket): void {
  clearTimeout(socket.initTimer);
  socket.initTimer = undefined;
}

/** What the library would make of the text, which it would keep; what is no JSON it refuses itself. */
function readMessage(sent: string): string {
  try {
    const message = JSON.parse(sent) as string;
    // It would read a text once more.
    return typeof message === 'string' ? sent : message;
  } catch {
    return sent;
  }
}

const ofServers = new Set<unknown>([MessageType.ConnectionAck, MessageType.Next, MessageType.Error]);

/** What only a server may say; the library would call it a failure of ours. */
function isOfServers(message: unknown): boolean {
  return typeof message === 'object' && message !== null && 'type' in message && ofServers.has(message.type);
}

function tooMany(max: number): GraphQLError {
  const message = `This socket has ${max} subscriptions, the most it may. Complete one first, or open another socket.`;
  return new GraphQLError(message, { extensions: { code: 'TOO_MANY_SUBSCRIPTIONS', max } });
}

function asGraphQLError({ code, message, details }: HttpRefusal): GraphQLError {
  return new GraphQLError(message, { extensions: { code, ...details } });
}

function openSession(socket: ClientSocket, viewer: Viewer): Session {
  const gone = new AbortController();
  // As many listeners as streams on this socket; that they are many is no leak.
  setMaxListeners(0, gone.signal);
  // It may have closed while its token was looked at.
  if (socket.readyState === socket.CLOSED) gone.abort('closed');
  socket.session = { viewer, gone };
  return socket.session;
}

function handshakeOf({ handshake }: ClientSocket): NonNullable<ClientSocket['handshake']> {
  if (!handshake) throw new Error('a socket that was not accepted');
  return handshake;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
