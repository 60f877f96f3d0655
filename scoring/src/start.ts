import { type Consuming, connectBroker, consume, oneByOne, publishMessage, toMessage } from '@prequal/messaging';
import { createPanDecrypter, withDevelopmentKeys } from '@prequal/pan';
import { createLog, createMetrics, natsTls, readConfig, type Service, serveHealth } from '@prequal/service';
import { BureauAwayError } from './bureau/bureau.ts';
import { guardedBureau } from './bureau/guarded.ts';
import { httpBureau } from './bureau/http.ts';
import { simulatedBureau } from './bureau/simulated.ts';
import { scoringConfig, scoringRules } from './config.ts';
import { onApplicationSubmitted, type ScoringDeps } from './on-application-submitted.ts';

/** Starts the scoring worker: applications in, credit reports out. It has no database. */
export async function startScoring(env: NodeJS.ProcessEnv): Promise<Service> {
  const config = readConfig(scoringConfig, await withDevelopmentKeys(env), scoringRules);
  const log = createLog('scoring', config.LOG_LEVEL);
  const metrics = createMetrics('scoring');
  await using stack = new AsyncDisposableStack();

  const broker = stack.use(connectBroker({ natsUrl: config.NATS_URL, tls: natsTls(config), name: 'scoring', log }));
  const useSandboxFixtures = (config.SANDBOX_FIXTURES ?? (config.NODE_ENV === 'production' ? 'off' : 'on')) === 'on';
  const stopping = new AbortController();
  const bureau =
    config.BUREAU_URL === undefined
      ? simulatedBureau({ useSandboxFixtures })
      : guardedBureau(
          httpBureau({ url: config.BUREAU_URL, token: config.BUREAU_TOKEN, timeoutMs: config.BUREAU_TIMEOUT_MS }),
          {
            attempts: config.BUREAU_ATTEMPTS,
            retryBaseMs: config.BUREAU_RETRY_BASE_MS,
            breakerFailures: config.BUREAU_BREAKER_FAILURES,
            breakerResetMs: config.BUREAU_BREAKER_RESET_MS,
            stopping: stopping.signal,
            log,
            metrics,
          },
        );
  const deps: ScoringDeps = {
    bureau,
    decryptPan: createPanDecrypter(config.PAN_ENCRYPTION_KEYS),
    publishReport: (event) => publishMessage(broker, toMessage('creditReportGenerated', event)),
    now: () => new Date(),
    log,
  };
  let serving = true;
  let consuming: Consuming | undefined;
  const { url } = stack.use(
    await serveHealth(
      {
        dependencies: [{ name: 'nats', isConnected: broker.isConnected, neededToServe: true }],
        isServing: () => serving && consuming?.isConsuming() === true,
        metrics,
      },
      { host: config.SCORING_HOST, port: config.SCORING_PORT },
    ),
  );
  consuming = stack.use(
    consume('scoring', {
      broker,
      log,
      metrics,
      // Decisioning makes the stream and the consumer.
      provisioning: { ackWaitMs: config.CONSUMER_ACK_WAIT_MS },
      retryDelaysMs: config.CONSUMER_RETRY_DELAYS_MS,
      limits: { maxItems: 1, maxConcurrent: config.SCORING_MAX_CONCURRENT },
      isOutage: (error) => error instanceof BureauAwayError,
      handle: oneByOne((event) => onApplicationSubmitted(deps, event)),
    }),
  );
  stack.defer(() => {
    serving = false;
    // The consumer's stop waits for the calls under way, but not for their retries.
    stopping.abort();
  });
  const owned = stack.move();
  return { url, log, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
