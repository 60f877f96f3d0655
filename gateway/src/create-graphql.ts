import { renderGraphiQL } from '@graphql-yoga/render-graphiql';
import { Refusal } from '@prequal/schema';
import { createSchema } from '@prequal/schema/graphql';
import type { Logger } from '@prequal/service';
import type { ExecutionArgs, ExecutionResult } from 'graphql';
import { createYoga, type GraphiQLOptions, type GraphQLParams, type YogaServerInstance } from 'graphql-yoga';
import type { GatewayConfig } from './config.ts';
import { createContext, type RequestContext, type RequestFacts, type UseCases } from './context.ts';
import type { DocumentGate } from './document-gate.ts';
import { answerOperation, finished, prequalPlugin } from './graphql-plugin.ts';
import { createKnownOperations } from './known-operations.ts';
import { graphqlPath } from './server.ts';

type GraphqlParts = {
  config: Pick<GatewayConfig, 'CONSENT_REQUIRED' | 'NODE_ENV' | 'CORS_ORIGINS'>;
  useCases: UseCases;
  gate: DocumentGate;
  /** of the page for people, which is not served in production */
  graphiql: () => Promise<GraphiQLOptions>;
  log: Logger;
};

/** The schema as the door serves it. */
export type Graphql = {
  /** on every transport, and every request that is in any way unusual */
  yoga: YogaServerInstance<RequestFacts, RequestContext>;
  /**
   * The answer to one JSON POST, without what the library does for web-standard requests. An operation that has run
   * before begins at once: what depends on its document alone was looked at then, by the library and its plugins.
   */
  answer: (params: GraphQLParams, request: Request, facts: RequestFacts) => Promise<ExecutionResult>;
};

export function createGraphql(parts: GraphqlParts): Graphql {
  const { config, useCases, gate, log } = parts;
  const known = createKnownOperations();
  const yoga = createYoga<RequestFacts, RequestContext>({
    schema: createSchema({ demandsConsent: config.CONSENT_REQUIRED === 'on' }),
    graphqlEndpoint: graphqlPath,
    context: (facts) => createContext(useCases, facts),
    plugins: [prequalPlugin(log, gate, known)],
    graphiql: config.NODE_ENV === 'production' ? false : parts.graphiql,
    renderGraphiQL,
    landingPage: false,
    maskedErrors: false,
    multipart: false,
    batching: false,
    cors: config.CORS_ORIGINS.length > 0 && { origin: config.CORS_ORIGINS, exposedHeaders: ['x-correlation-id'] },
    logging: false,
  });

  /** The operation that is asked for, if it is known and everything else about the request is usual. */
  function begun(params: GraphQLParams, facts: RequestFacts): ExecutionArgs | undefined {
    if (facts.viewer instanceof Refusal || !isUsual(params)) return undefined;
    const query = gate.admit(params);
    const operation = typeof query === 'string' ? known.find(query, params.operationName) : undefined;
    if (!operation) return undefined;
    return { ...operation, variableValues: params.variables, contextValue: createContext(useCases, facts) };
  }

  return {
    yoga,
    answer: async (params, request, facts) => {
      const operation = begun(params, facts);
      if (operation) return finished(await answerOperation(operation, log));
      // The plugins add to it what they know.
      const context = { ...facts } as RequestFacts & RequestContext;
      return finished((await yoga.getResultForParams({ params, request }, context)) as ExecutionResult);
    },
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
