import { setMaxListeners } from 'node:events';
import { Refusal, type Viewer } from '@prequal/schema';
import { traceOf } from '@prequal/service';
import { GraphQLError } from 'graphql';
import type { ServerOptions } from 'graphql-ws';
import type { Extra } from 'graphql-ws/use/ws';
import type { Allowances } from './allowances.ts';
import { toRefusedError, unreadable, withoutHttp, withoutPan } from './client-errors.ts';
import type { ClientSocket, Handshake, Session } from './client-socket.ts';
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
};

/** GraphQL over WebSocket (graphql-transport-ws) with the very functions that serve HTTP. */
export function graphqlOverWebSocket(
  graphql: Graphql,
  { identify, requests, sockets: limits }: SocketOptions,
): ServerOptions<Record<string, unknown>, Extra> {
  return {
    connectionInitWaitTimeout: limits.initTimeoutMs,
    execute: (operation) => graphql.run(operation as Operation),
    subscribe: (operation) => graphql.stream(operation as Operation),
    onConnect: async ({ extra, connectionParams }) => {
      const { socket, handshake } = socketOf(extra);
      const { viewer, expiresAtMs } = await identify(connectionParams?.['authorization'] ?? handshake.authorization);
      if (viewer instanceof Refusal) {
        socket.close(viewer.code === 'UNAVAILABLE' ? tryAgainLater : forbidden, viewer.message);
        return false;
      }
      const session = openSession(socket, viewer);
      if (expiresAtMs !== undefined) {
        atInstant(expiresAtMs, session.gone, () => {
          // A client that does not answer the close frame could go on sending.
          session.viewer = expired;
          socket.close(forbidden, expired.message);
        });
      }
      return true;
    },
    onSubscribe: async ({ extra, connectionParams, subscriptions }, _id, payload) => {
      const { session, handshake } = socketOf(extra);
      if (!session) throw new Error('an operation on a socket that nobody has identified');
      const { viewer, gone } = session;
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
        carries: { answers: false, streams: true },
        gone: () => gone,
      };
      try {
        const prepared = graphql.prepare(payload, facts);
        return 'document' in prepared ? prepared : prepared.map(withoutPan).map(withoutHttp);
      } catch (error) {
        // A throw would close the whole socket, with every other stream on it.
        return [withoutHttp(withoutPan(error instanceof GraphQLError ? error : unreadable()))];
      }
    },
  };
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
  socket.once('close', () => gone.abort());
  // It may have closed while its token was looked at.
  if (socket.readyState === socket.CLOSED) gone.abort();
  socket.session = { viewer, gone: gone.signal };
  return socket.session;
}

// The library hands on what `acceptSockets` gave it.
function socketOf(extra: Extra): { socket: ClientSocket; handshake: Handshake; session: Session | undefined } {
  const socket = extra.socket as ClientSocket;
  if (!socket.handshake) throw new Error('a socket that was not accepted');
  return { socket, handshake: socket.handshake, session: socket.session };
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
