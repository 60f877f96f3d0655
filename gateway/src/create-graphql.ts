import { renderGraphiQL } from '@graphql-yoga/render-graphiql';
import { createSchema } from '@prequal/schema/graphql';
import type { Logger } from '@prequal/service';
import { createYoga, type GraphiQLOptions, type YogaServerInstance } from 'graphql-yoga';
import type { GatewayConfig } from './config.ts';
import { createContext, type RequestContext, type RequestFacts, type UseCases } from './context.ts';
import type { DocumentGate } from './document-gate.ts';
import { prequalPlugin } from './graphql-plugin.ts';
import { graphqlPath } from './server.ts';

type GraphqlParts = {
  config: Pick<GatewayConfig, 'CONSENT_REQUIRED' | 'NODE_ENV' | 'CORS_ORIGINS'>;
  useCases: UseCases;
  gate: DocumentGate;
  /** of the page for people, which is not served in production */
  graphiql: () => Promise<GraphiQLOptions>;
  log: Logger;
};

/** The schema as the door serves it, on every transport. */
export function createGraphql(parts: GraphqlParts): YogaServerInstance<RequestFacts, RequestContext> {
  const { config, useCases, gate, log } = parts;
  return createYoga<RequestFacts, RequestContext>({
    schema: createSchema({ demandsConsent: config.CONSENT_REQUIRED === 'on' }),
    graphqlEndpoint: graphqlPath,
    context: (facts) => createContext(useCases, facts),
    plugins: [prequalPlugin(log, gate)],
    graphiql: config.NODE_ENV === 'production' ? false : parts.graphiql,
    renderGraphiQL,
    landingPage: false,
    maskedErrors: false,
    multipart: false,
    batching: false,
    cors: config.CORS_ORIGINS.length > 0 && { origin: config.CORS_ORIGINS, exposedHeaders: ['x-correlation-id'] },
    logging: false,
  });
}
