import { setMaxListeners } from 'node:events';
import { traceOf } from '@prequal/service';
import { type ExecutionArgs, type execute, GraphQLError, type subscribe } from 'graphql';
import type { ServerOptions } from 'graphql-ws';
import type { Extra } from 'graphql-ws/use/ws';
import type { YogaServerInstance } from 'graphql-yoga';
import type { WebSocket } from 'ws';
import { unreadable, withoutPan } from './client-errors.ts';
import type { RequestContext, RequestFacts } from './context.ts';

type Enveloped = { execute: typeof execute; subscribe: typeof subscribe };

/** GraphQL over WebSocket (graphql-transport-ws) with the very functions and plugins that serve HTTP. */
export function graphqlOverWebSocket(
  yoga: YogaServerInstance<RequestFacts, RequestContext>,
): ServerOptions<Record<string, unknown>, Extra> {
  return {
    execute: (args) => enveloped(args).execute(args),
    subscribe: (args) => enveloped(args).subscribe(args),
    onSubscribe: async ({ extra, connectionParams }, _id, payload) => {
      const facts: RequestFacts = {
        trace: traceOf({
          correlationId:
            text(connectionParams?.['x-correlation-id']) ?? text(extra.request.headers['x-correlation-id']),
          traceparent: text(extra.request.headers['traceparent']),
        }),
        synthetic: false,
        gone: goneWhenClosed(extra.socket),
      };
      const { schema, execute, subscribe, contextFactory, parse, validate } = yoga.getEnveloped(facts);
      try {
        const document = parse(payload.query);
        const errors = validate(schema, document);
        if (errors.length > 0) return errors.map(withoutPan);
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
        return [withoutPan(error instanceof GraphQLError ? error : unreadable())];
      }
    },
  };
}

const goneSignals = new WeakMap<WebSocket, AbortSignal>();

/** One signal a socket, whatever number of operations it carries. */
function goneWhenClosed(socket: WebSocket): AbortSignal {
  const known = goneSignals.get(socket);
  if (known) return known;
  const gone = new AbortController();
  // As many listeners as streams on this socket; that they are many is no leak.
  setMaxListeners(0, gone.signal);
  socket.once('close', () => gone.abort());
  goneSignals.set(socket, gone.signal);
  return gone.signal;
}

function enveloped(args: ExecutionArgs): Enveloped {
  return args.rootValue as Enveloped;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
