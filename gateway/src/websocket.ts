import { traceOf } from '@prequal/service';
import { type ExecutionArgs, type execute, GraphQLError, type subscribe } from 'graphql';
import type { ServerOptions } from 'graphql-ws';
import type { Extra } from 'graphql-ws/use/ws';
import type { YogaServerInstance } from 'graphql-yoga';
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
      };
      const { schema, execute, subscribe, contextFactory, parse, validate } = yoga.getEnveloped(facts);
      try {
        const document = parse(payload.query);
        const errors = validate(schema, document);
        if (errors.length > 0) return errors;
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
        if (error instanceof GraphQLError) return [error];
        throw error;
      }
    },
  };
}

function enveloped(args: ExecutionArgs): Enveloped {
  return args.rootValue as Enveloped;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
