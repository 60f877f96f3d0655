import { setMaxListeners } from 'node:events';
import { Refusal, type Viewer } from '@prequal/schema';
import { traceOf } from '@prequal/service';
import { type ExecutionArgs, type execute, GraphQLError, type subscribe } from 'graphql';
import type { ServerOptions } from 'graphql-ws';
import type { Extra } from 'graphql-ws/use/ws';
import type { YogaServerInstance } from 'graphql-yoga';
import type { WebSocket } from 'ws';
import type { Allowances } from './allowances.ts';
import { clientAddress } from './client-address.ts';
import { toRefusedError, unreadable, withoutHttp, withoutPan } from './client-errors.ts';
import type { RequestContext, RequestFacts } from './context.ts';
import type { DocumentGate } from './document-gate.ts';
import { type HttpRefusal, tooManyRequests } from './http-request.ts';
import { atInstant, type Identify } from './viewer.ts';

type Enveloped = { execute: typeof execute; subscribe: typeof subscribe };

/** Clients may connect again, and do well to get a new token first. */
const forbidden = 4403;
/** Clients connect again, later. */
const tryAgainLater = 1013;

const expired = new Refusal('UNAUTHENTICATED', 'The token has expired. Get a new one.');

export type SocketLimits = { maxSubscriptions: number; initTimeoutMs: number };

export type SocketOptions = {
  identify: Identify;
  gate: DocumentGate;
  /** operations by address */
  requests: Allowances;
  trustedProxies: number;
  sockets: SocketLimits;
};

/** GraphQL over WebSocket (graphql-transport-ws) with the very functions and plugins that serve HTTP. */
export function graphqlOverWebSocket(
  yoga: YogaServerInstance<RequestFacts, RequestContext>,
  { identify, gate, requests, trustedProxies, sockets: limits }: SocketOptions,
): ServerOptions<Record<string, unknown>, Extra> {
  return {
    connectionInitWaitTimeout: limits.initTimeoutMs,
    execute: (args) => enveloped(args).execute(args),
    subscribe: (args) => enveloped(args).subscribe(args),
    onConnect: async ({ extra: { socket, request }, connectionParams }) => {
      const { viewer, expiresAtMs } = await identify(
        connectionParams?.['authorization'] ?? request.headers.authorization,
      );
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
      const { viewer, gone } = sessionOf(extra.socket);
      if (viewer instanceof Refusal) return [withoutHttp(toRefusedError(viewer))];
      // Itself included.
      if (Object.keys(subscriptions).length > limits.maxSubscriptions) return [tooMany(limits.maxSubscriptions)];
      const address = clientAddress(extra.request, trustedProxies);
      if (!requests.take(address)) return [asGraphQLError(tooManyRequests(requests.msLeft()))];
      const query = gate.admit(payload);
      if (query instanceof GraphQLError) return [withoutHttp(query)];
      const facts: RequestFacts = {
        trace: traceOf({
          correlationId:
            text(connectionParams?.['x-correlation-id']) ?? text(extra.request.headers['x-correlation-id']),
          traceparent: text(extra.request.headers['traceparent']),
        }),
        viewer,
        synthetic: false,
        address,
        carries: { answers: false, streams: true },
        gone: () => gone,
      };
      const { schema, execute, subscribe, contextFactory, parse, validate } = yoga.getEnveloped(facts);
      try {
        const document = parse(query);
        const errors = validate(schema, document);
        if (errors.length > 0) return errors.map(withoutPan).map(withoutHttp);
        const args: ExecutionArgs = {
          schema,
          document,
          operationName: payload.operationName ?? null,
          variableValues: payload.variables ?? {},
          contextValue: await contextFactory(),
          rootValue: { execute, subscribe },
        };
        return args;
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

/** Who a socket belongs to, for all operations it carries, and the signal that it is closed. */
type Session = { viewer: Viewer | Refusal; gone: AbortSignal };

const sessions = new WeakMap<WebSocket, Session>();

function openSession(socket: WebSocket, viewer: Viewer): Session {
  const gone = new AbortController();
  // As many listeners as streams on this socket; that they are many is no leak.
  setMaxListeners(0, gone.signal);
  socket.once('close', () => gone.abort());
  // It may have closed while its token was looked at.
  if (socket.readyState === socket.CLOSED) gone.abort();
  const session = { viewer, gone: gone.signal };
  sessions.set(socket, session);
  return session;
}

function sessionOf(socket: WebSocket): Session {
  const session = sessions.get(socket);
  if (!session) throw new Error('an operation on a socket that nobody has identified');
  return session;
}

function enveloped(args: ExecutionArgs): Enveloped {
  return args.rootValue as Enveloped;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
