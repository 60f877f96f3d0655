import { Refusal } from '@prequal/schema';
import { createSchema } from '@prequal/schema/graphql';
import type { Logger } from '@prequal/service';
import { type ExecutionArgs, type ExecutionResult, GraphQLError } from 'graphql';
import type { SubscribePayload } from 'graphql-ws';
import { createYoga, type GraphiQLOptions, type GraphQLParams, type YogaServerInstance } from 'graphql-yoga';
import type { GatewayConfig } from './config.ts';
import { OperationContext, type RequestFacts, type UseCases } from './context.ts';
import type { DocumentGate } from './document-gate.ts';
import { graphiqlPage } from './graphiql-page.ts';
import { finished, prequalPlugin } from './graphql-plugin.ts';
import { createKnownOperations } from './known-operations.ts';
import { answerOperation, type Operation, streamOperation } from './run-operation.ts';
import { graphqlPath } from './server.ts';

type GraphqlParts = {
  config: Pick<GatewayConfig, 'CONSENT_REQUIRED' | 'NODE_ENV' | 'CORS_ORIGINS'>;
  useCases: UseCases;
  gate: DocumentGate;
  /** of the page for people, which is not served in production */
  graphiql: () => Promise<GraphiQLOptions>;
  log: Logger;
};

/** The schema as the door serves it. Whatever the transport, operations are run by `answerOperation` and `streamOperation`. */
export type Graphql = {
  /** any request over HTTP, also an unusual one */
  yoga: YogaServerInstance<RequestFacts, object>;
  /**
   * The answer to one JSON POST, without what the library does for web-standard requests. An operation that has run
   * before begins at once: what depends on its document alone was looked at then, by the library and its plugins.
   */
  answer: (params: GraphQLParams, request: Request, facts: RequestFacts) => Promise<ExecutionResult>;
  /** What is to be run for a client of a WebSocket; or why nothing is. */
  prepare: (params: SocketParams, facts: RequestFacts) => Operation | readonly GraphQLError[];
  run: (operation: Operation) => ReturnType<typeof answerOperation>;
  stream: (operation: Operation) => ReturnType<typeof streamOperation>;
};

type SocketParams = Pick<SubscribePayload, 'query' | 'variables' | 'operationName' | 'extensions'>;

export function createGraphql(parts: GraphqlParts): Graphql {
  const { config, useCases, gate, log } = parts;
  const known = createKnownOperations();
  const schema = createSchema({ demandsConsent: config.CONSENT_REQUIRED === 'on' });
  const run = (operation: Operation) => answerOperation(operation, log);
  const stream = (operation: Operation) => streamOperation(operation, log);
  const forCaller = (sound: ExecutionArgs, facts: RequestFacts): Operation => {
    return { ...sound, contextValue: new OperationContext(useCases, facts) };
  };
  const yoga = createYoga<RequestFacts>({
    schema,
    graphqlEndpoint: graphqlPath,
    plugins: [
      prequalPlugin({
        gate,
        keep: (query, sound) => query !== undefined && known.keep(query, sound),
        answer: (sound) => run(forCaller(sound, sound.contextValue as RequestFacts)),
        stream: (sound) => stream(forCaller(sound, sound.contextValue as RequestFacts)),
      }),
    ],
    graphiql: config.NODE_ENV === 'production' ? false : parts.graphiql,
    renderGraphiQL: graphiqlPage,
    landingPage: false,
    maskedErrors: false,
    multipart: false,
    batching: false,
    cors: config.CORS_ORIGINS.length > 0 && { origin: config.CORS_ORIGINS, exposedHeaders: ['x-correlation-id'] },
    logging: false,
  });

  /** The operation that is asked for, if it is known and everything else about the request is usual. */
  function knownOperation(params: GraphQLParams, facts: RequestFacts): Operation | undefined {
    if (facts.viewer instanceof Refusal || !isUsual(params)) return undefined;
    const query = gate.admit(params);
    const operation = typeof query === 'string' ? known.find(query, params.operationName) : undefined;
    if (!operation || operation.streams) return undefined;
    return forCaller({ ...operation, variableValues: params.variables }, facts);
  }

  /** As the library does it for requests; throws as it does. */
  function readDocument(query: string, operationName: string | null | undefined, facts: RequestFacts) {
    const { parse, validate } = yoga.getEnveloped(facts);
    const document = parse(query);
    const errors = validate(schema, document);
    if (errors.length > 0) return errors;
    const sound = { schema, document, operationName };
    known.keep(query, sound);
    return sound;
  }

  return {
    yoga,
    answer: async (params, request, facts) => {
      const operation = knownOperation(params, facts);
      if (operation) return finished(await run(operation));
      // The plugins add to it what they know.
      const context = { ...facts };
      return finished((await yoga.getResultForParams({ params, request }, context)) as ExecutionResult);
    },
    prepare: (params, facts) => {
      const query = gate.admit(params);
      if (query instanceof GraphQLError) return [query];
      const { operationName, variables } = params;
      const sound = known.find(query, operationName) ?? readDocument(query, operationName, facts);
      if (!('document' in sound)) return sound;
      return forCaller({ ...sound, variableValues: variables }, facts);
    },
    run,
    stream,
  };
}

const usualNames = new Set(['query', 'variables', 'operationName', 'extensions']);

/** Whether the library would find nothing to say about the parameters themselves. */
function isUsual(params: GraphQLParams): boolean {
  for (const name in params) if (!usualNames.has(name)) return false;
  const { operationName, variables, extensions } = params;
  return (operationName == null || typeof operationName === 'string') && isObject(variables) && isObject(extensions);
}

function isObject(value: unknown): boolean {
  return value == null || (typeof value === 'object' && !Array.isArray(value));
}
