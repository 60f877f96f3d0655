import {
  type Consuming,
  connectBroker,
  consume,
  consumeDeadLetters,
  type DeadLetter,
  eraseMessages,
  keepProvisioned,
  oneByOne,
  publishMessage,
} from '@prequal/messaging';
import { countDeadLetters, createRelay, isDatabaseAway, openDatabase, whenSchemaIsCurrent } from '@prequal/persistence';
import { EvaluatorAwayError } from '@prequal/policy';
import { outboxes } from '@prequal/schema';
import {
  counterOf,
  createLog,
  createMetrics,
  databaseTls,
  gaugeOf,
  Histogram,
  natsTls,
  pooledRandom,
  readConfig,
  type Service,
  serveHealth,
  tlsRules,
} from '@prequal/service';
import { v7 } from 'uuid';
import { decisioningConfig } from './config.ts';
import { startErasingCopies } from './erase-copies.ts';
import { onCreditReportsGenerated } from './on-credit-report-generated.ts';
import { onDeadLetter } from './on-dead-letter.ts';
import { createPolicies, warmUp } from './policies.ts';
import { createDocuments } from './policy-documents.ts';
import { recordTogether } from './record-together.ts';
import { type Comparison, createShadow } from './shadow.ts';

// Its random bytes from a pool: asking the system each time takes longer than all the rest of an id.
const newId = () => v7({ random: pooledRandom(16) });

/** Starts the decisioning worker: credit reports in, decisions recorded and announced. */
export async function startDecisioning(env: NodeJS.ProcessEnv): Promise<Service> {
  const config = readConfig(decisioningConfig, env, tlsRules('DATABASE', 'NATS'));
  const log = createLog('decisioning', config.LOG_LEVEL);
  const metrics = createMetrics('decisioning');
  await using stack = new AsyncDisposableStack();

  const database = stack.use(
    await openDatabase({
      databaseUrl: config.DATABASE_URL,
      tls: databaseTls(config),
      poolMax: config.DATABASE_POOL_MAX,
      applicationName: 'decisioning',
      log,
    }),
  );
  const broker = stack.use(connectBroker({ natsUrl: config.NATS_URL, tls: natsTls(config), name: 'decisioning', log }));
  const provisioning = { replicas: config.STREAM_REPLICAS, ackWaitMs: config.CONSUMER_ACK_WAIT_MS };
  // For everybody: the other services may not make streams and consumers, and wait for them.
  stack.use(keepProvisioned(broker, provisioning, log));
  let serving = false;
  let consuming: Consuming | undefined;
  const { url } = stack.use(
    await serveHealth(
      {
        dependencies: [
          { name: 'database', isConnected: database.isConnected, neededToServe: true },
          { name: 'nats', isConnected: broker.isConnected, neededToServe: true },
        ],
        isServing: () => serving && consuming?.isConsuming() === true,
        metrics,
      },
      { host: config.DECISIONING_HOST, port: config.DECISIONING_PORT },
    ),
  );
  await whenSchemaIsCurrent(database, log);
  const decided = new Histogram({
    name: 'prequal_decision_seconds',
    help: 'From the submission of an application to its decision, by outcome; its count is the number of decisions',
    labelNames: ['outcome'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
    registers: [metrics],
  });
  const shadows = counterOf(metrics, {
    name: 'prequal_shadow_verdicts_total',
    help: 'What the shadow policy says after each decision: the same outcome, another, none because it failed, or it was not asked',
    labelNames: ['verdict'],
  });
  const observe = (outcome: string, seconds: number) => decided.observe({ outcome }, seconds);
  const read = createDocuments(database);
  const policies = stack.use(createPolicies(read));
  const count = (verdict: Comparison) => shadows.inc({ verdict });
  const shadow = stack.use(createShadow({ database, read, log, count }));
  // What cannot be read now is read when it is needed.
  await warmUp(database, { policies, shadow }).catch((error: unknown) =>
    log.warn({ err: error }, 'policies not read yet'),
  );
  const relay = stack.use(
    createRelay({
      database,
      publishes: outboxes.decisioning,
      publish: (message) => publishMessage(broker, message),
      isBrokerConnected: broker.isConnected,
      log,
      metrics,
    }),
  );
  stack.use(broker.onConnect(relay.sweep));
  stack.use(
    startErasingCopies({
      database,
      eraseMessages: (applicationId) => eraseMessages(broker, applicationId),
      isBrokerConnected: broker.isConnected,
      log,
      metrics,
    }),
  );
  const worker = {
    broker,
    log,
    metrics,
    provisioning,
    retryDelaysMs: config.CONSUMER_RETRY_DELAYS_MS,
    isOutage: (error: unknown) => isDatabaseAway(error) || error instanceof EvaluatorAwayError,
  };
  const deciding = { database, relay, policies, shadow, record: recordTogether(database), newId, log, observe };
  consuming = stack.use(
    consume('decisioning', {
      ...worker,
      // Two at once: one batch is being read while the next one is gathered.
      limits: { maxItems: config.DECISIONING_BATCH_MAX, maxConcurrent: 2 },
      handle: (reports) => onCreditReportsGenerated(deciding, reports),
    }),
  );
  const deadLetters = counterOf(metrics, {
    name: 'prequal_dead_letters_total',
    help: 'Messages that were given up and recorded, by the worker that gave up and by class of error',
    labelNames: ['consumer', 'error_class'],
  });
  gaugeOf(
    metrics,
    { name: 'prequal_dead_letters_open', help: 'Dead letters that nobody has replayed or discarded yet' },
    () => countDeadLetters(database, 'OPEN'),
  );
  const countDeadLetter = ({ consumer, errorClass }: DeadLetter) =>
    deadLetters.inc({ consumer, error_class: errorClass });
  stack.use(
    consumeDeadLetters({
      ...worker,
      limits: { maxItems: 1, maxConcurrent: 4 },
      handle: oneByOne((deadLetter) => onDeadLetter({ database, relay, newId, log, countDeadLetter }, deadLetter)),
    }),
  );
  serving = true;
  stack.defer(() => {
    serving = false;
    policies.stopWaiting();
  });
  const owned = stack.move();
  return { url, log, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
