import { recomputing } from '@prequal/evidence';
import { withDevelopmentIssuer } from '@prequal/identity';
import { connectBroker, publishMessage } from '@prequal/messaging';
import { createKeyedDigest, createPanEncrypter, withDevelopmentKeys } from '@prequal/pan';
import { createRelay, openDatabase, startReconciler, statementClient, whenSchemaIsCurrent } from '@prequal/persistence';
import { checkPolicy, openEvaluator } from '@prequal/policy';
import { outboxes } from '@prequal/schema';
import {
  Counter,
  createLog,
  createMetrics,
  databaseTls,
  gatewayTls,
  gaugeOf,
  natsTls,
  pooledRandom,
  readConfig,
  type Service,
} from '@prequal/service';
import { v7 } from 'uuid';
import { createAudit } from './audit.ts';
import { gatewayConfig, gatewayRules } from './config.ts';
import { createCountApplications } from './count-applications.ts';
import { createGraphql } from './create-graphql.ts';
import { createDeadLetters } from './dead-letters.ts';
import { createDecisionFeed } from './decision-feed.ts';
import { createDocumentGate } from './document-gate.ts';
import { doorOptions } from './door-options.ts';
import { watchEventLoop } from './event-loop.ts';
import { createFindEarlier } from './find-earlier.ts';
import { graphiqlOptions } from './graphiql.ts';
import { guardSubmissions } from './guard-submissions.ts';
import { identifyBy } from './identify-by.ts';
import { withDevelopmentLimits } from './limits-config.ts';
import { createListApplications } from './list-applications.ts';
import { createPolicies } from './policies.ts';
import { createApplicationReader } from './read-application.ts';
import { createDecisionReader } from './read-decisions.ts';
import { createReadStatus } from './read-status.ts';
import { createReviews } from './review.ts';
import { serveGateway } from './server.ts';
import { createSimulatePolicy } from './simulate-policy.ts';
import { createStatusFeed } from './status-feed.ts';
import { createSubmissionLimits } from './submission-limits.ts';
import { createSubmitApplication } from './submit-application.ts';
import { resubmittedMessage } from './submitted-message.ts';
import { readTrustedDocuments } from './trusted-documents.ts';

/** Starts the gateway: the GraphQL API on HTTP, SSE and WebSocket. */
export async function startGateway(env: NodeJS.ProcessEnv): Promise<Service> {
  const complete = withDevelopmentLimits(await withDevelopmentIssuer(await withDevelopmentKeys(env)));
  const config = readConfig(gatewayConfig, complete, gatewayRules);
  const gate = createDocumentGate(config, await readTrustedDocuments(config.GATEWAY_TRUSTED_DOCUMENTS));
  const log = createLog('gateway', config.LOG_LEVEL);
  const metrics = createMetrics('gateway');
  await using stack = new AsyncDisposableStack();

  const database = stack.use(
    await openDatabase({
      databaseUrl: config.DATABASE_URL,
      tls: databaseTls(config),
      poolMax: config.DATABASE_POOL_MAX,
      applicationName: 'gateway',
      log,
    }),
  );
  const broker = stack.use(connectBroker({ natsUrl: config.NATS_URL, tls: natsTls(config), name: 'gateway', log }));
  const atTheDoor = doorOptions(config);
  gaugeOf(
    metrics,
    { name: 'prequal_open_streams', help: 'Sockets and SSE responses that are open on this gateway' },
    atTheDoor.places.count,
  );
  let serving = false;
  const door = stack.use(
    await serveGateway({
      health: {
        dependencies: [
          { name: 'database', isConnected: database.isConnected, neededToServe: true },
          // Submissions are safe in the outbox while NATS is away.
          { name: 'nats', isConnected: broker.isConnected, neededToServe: false },
        ],
        isServing: () => serving,
        metrics,
      },
      tls: gatewayTls(config),
      ...atTheDoor,
      identify: identifyBy(config, log),
      log,
    }),
  );
  await whenSchemaIsCurrent(database, log);
  const relay = stack.use(
    createRelay({
      database,
      publishes: outboxes.gateway,
      publish: (message) => publishMessage(broker, message),
      isBrokerConnected: broker.isConnected,
      log,
      metrics,
    }),
  );
  stack.use(broker.onConnect(relay.sweep));
  stack.use(
    startReconciler({
      database,
      relay,
      toMessage: (stranded) => resubmittedMessage(stranded, v7()),
      afterMs: config.RECONCILE_AFTER_MS,
      log,
      metrics,
    }),
  );
  const feed = stack.use(createStatusFeed({ broker, log, sweepIntervalMs: config.STATUS_SWEEP_MS }));
  gaugeOf(
    metrics,
    { name: 'prequal_watched_applications', help: 'Applications with at least one watcher on this gateway' },
    feed.watchedCount,
  );
  const decisions = stack.use(
    createDecisionFeed({
      broker,
      read: createDecisionReader(database),
      log,
      sweepIntervalMs: config.STATUS_SWEEP_MS,
    }),
  );
  const accepted = new Counter({
    name: 'prequal_applications_accepted_total',
    help: 'Applications stored; replays of an idempotency key are not counted',
    registers: [metrics],
  });

  const refused = new Counter({
    name: 'prequal_submissions_refused_total',
    help: 'Submissions beyond a rate limit, or shed because the process was behind',
    labelNames: ['reason'],
    registers: [metrics],
  });

  const reader = createApplicationReader(database);
  const submitDeps = {
    database,
    relay,
    findApplication: reader.findApplication,
    encryptPan: createPanEncrypter(config.PAN_ENCRYPTION_KEYS),
    indexPan: createKeyedDigest(config.PAN_INDEX_KEYS, 'pan-index'),
    fingerprint: createKeyedDigest(config.PAN_INDEX_KEYS, 'idempotency-fingerprint'),
    newId: unguessableId,
    now: () => new Date(),
    log,
    maxWaiting: config.GATEWAY_MAX_WAITING_SUBMISSIONS,
    countAccepted: () => accepted.inc(),
  };
  const digest = createKeyedDigest(config.PAN_INDEX_KEYS, 'rate-limit');
  const limits = stack.use(
    createSubmissionLimits(config, {
      client: statementClient(database),
      digest: (text) => digest(text).current.toString('base64url'),
      log,
    }),
  );
  const eventLoop = stack.use(watchEventLoop(config.GATEWAY_MAX_EVENT_LOOP_DELAY_MS));
  const useCases = {
    reader,
    listApplications: createListApplications({ ...submitDeps, count: createCountApplications(database) }),
    audit: createAudit({ database, evaluator: stack.use(openEvaluator(recomputing)), newId: v7, log }),
    deadLetters: createDeadLetters({ database, newId: v7, log }),
    reviews: createReviews({ database, relay, newId: v7, log }),
    submitApplication: guardSubmissions({
      submit: createSubmitApplication(submitDeps),
      findEarlier: createFindEarlier(submitDeps),
      limits,
      isOverloaded: eventLoop.isBehind,
      countRefused: (reason) => refused.inc({ reason }),
    }),
    watching: { feed, readStatus: createReadStatus(database, log) },
    decisions,
    policies: createPolicies({ database, check: checkPolicy, simulate: createSimulatePolicy(submitDeps), log }),
  };
  door.serve(createGraphql({ config, useCases, gate, graphiql: () => graphiqlOptions(database), log }));
  // Before everything that what is in hand still needs.
  stack.use(door);
  serving = true;
  stack.defer(() => {
    serving = false;
  });
  const owned = stack.move();
  return { url: door.url, log, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

// The library counts ids of the same millisecond up from the last one; with a sequence of our own all 74 bits are random.
function unguessableId(): string {
  const random = pooledRandom(16);
  return v7({ random, seq: random.readUInt32BE() });
}
