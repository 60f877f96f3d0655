import { createLog, createMetrics, readConfig, run, type Service } from '@prequal/service';
import { gatewayConfig, gatewayRules } from '../../gateway/src/config.ts';
import type { UseCases } from '../../gateway/src/context.ts';
import { createGraphql } from '../../gateway/src/create-graphql.ts';
import { createDocumentGate } from '../../gateway/src/document-gate.ts';
import { doorOptions } from '../../gateway/src/door-options.ts';
import { watchEventLoop } from '../../gateway/src/event-loop.ts';
import { guardSubmissions } from '../../gateway/src/guard-submissions.ts';
import { identifyBy } from '../../gateway/src/identify-by.ts';
import { serveGateway } from '../../gateway/src/server.ts';
import { createSubmissionLimits } from '../../gateway/src/submission-limits.ts';
import { findApplication, submitApplication } from './answer.ts';

/** The gateway's door and all that stands between it and the database; nothing behind. */
await run(async (env): Promise<Service> => {
  const config = readConfig(gatewayConfig, env, gatewayRules);
  const log = createLog('gateway', config.LOG_LEVEL);
  const gate = createDocumentGate(config, undefined);
  const door = await serveGateway({
    health: { dependencies: [], isServing: () => true, metrics: createMetrics('gateway') },
    tls: undefined,
    ...doorOptions(config),
    identify: identifyBy(config, log),
    log,
  });
  const useCases = {
    submitApplication: guardSubmissions({
      submit: ({ input }) => submitApplication(input),
      findEarlier: async () => undefined,
      // Here there are none, as for all that is measured.
      limits: createSubmissionLimits(config, {
        client: { query: async () => ({ rows: [], rowCount: 0 }) },
        digest: (text: string) => text,
        log,
      }),
      isOverloaded: watchEventLoop(config.GATEWAY_MAX_EVENT_LOOP_DELAY_MS).isBehind,
      countRefused: () => undefined,
    }),
    reader: { findApplication: () => findApplication('') },
    listApplications: undefined,
    reviews: {},
    deadLetters: {},
    audit: {},
    watching: {},
    decisions: {},
    policies: {},
  };
  const graphiql = () => Promise.reject(new Error('there is no page in production'));
  door.serve(createGraphql({ config, useCases: useCases as unknown as UseCases, gate, graphiql, log }));
  return { url: door.url, log, [Symbol.asyncDispose]: () => door[Symbol.asyncDispose]() };
});
