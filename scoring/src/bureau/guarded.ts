import { backoffMs, counterOf, gaugeOf, Histogram, type Logger, type Registry } from '@prequal/service';
import {
  CircuitState,
  ConsecutiveBreaker,
  circuitBreaker,
  DelegateBackoff,
  handleWhen,
  isBrokenCircuitError,
  retry,
  wrap,
} from 'cockatiel';
import { type Bureau, BureauAwayError, BureauError } from './bureau.ts';

export type GuardOptions = {
  /** most attempts of one call, the first included */
  attempts: number;
  /** before the second attempt; doubles with each further one, with jitter, up to ten times as long */
  retryBaseMs: number;
  /** calls that fail in a row until nobody is let through any more */
  breakerFailures: number;
  /** until one call is let through to see whether the bureau is back */
  breakerResetMs: number;
  /** Aborted when the service stops: no further attempt begins. */
  stopping: AbortSignal;
  log: Logger;
  metrics: Registry;
};

/**
 * Tries a call again when the bureau was unavailable, and leaves the bureau alone for a while when too many
 * calls in a row have failed. Throws `BureauAwayError` when the failure is the bureau's: the breaker is not
 * closed, or nobody at all was answered lately. Else the call's own error, which counts against its message.
 */
export function guardedBureau(bureau: Bureau, options: GuardOptions): Bureau {
  const { retryBaseMs, breakerResetMs, stopping, log } = options;
  const retrying = retry(handleWhen(isWorthRetrying), {
    maxAttempts: options.attempts - 1,
    backoff: new DelegateBackoff(({ attempt }) => backoffMs(attempt, { baseMs: retryBaseMs, maxMs: 10 * retryBaseMs })),
  });
  const breaker = circuitBreaker(
    // Whoever lies or rejects is there. One application that it does that to must not keep the others waiting.
    handleWhen((error) => error instanceof BureauError && !isAboutOne(error)),
    { halfOpenAfter: breakerResetMs, breaker: new ConsecutiveBreaker(options.breakerFailures) },
  );
  // The breaker is outside, so that one call counts once.
  const policy = wrap(breaker, retrying);
  breaker.onBreak(() => log.warn({ breakerResetMs }, 'bureau breaker is open, no calls until it is tried again'));
  breaker.onHalfOpen(() => log.info('bureau breaker is half-open, one call is tried'));
  breaker.onReset(() => log.info('bureau breaker is closed, the bureau is back'));
  const observe = measure(options.metrics, () => breaker.state);
  let answeredAt = Number.NEGATIVE_INFINITY;

  function isAway(error: unknown): boolean {
    if (breaker.state !== CircuitState.Closed) return true;
    // Few applications and many workers: each breaker sees too few calls to open, yet nobody is answered. Likewise
    // when every one is rejected: then it is our requests that are wrong, and no application's fault.
    const mayBeAway = isWorthRetrying(error) || (error instanceof BureauError && error.failure === 'rejected');
    return mayBeAway && performance.now() - answeredAt > breakerResetMs;
  }

  return {
    report: async (request, trace) => {
      const startedAt = performance.now();
      const seconds = () => (performance.now() - startedAt) / 1_000;
      try {
        const report = await policy.execute(() => {
          if (stopping.aborted) throw new BureauAwayError('this service stops and asks the bureau no more');
          return bureau.report(request, trace);
        });
        answeredAt = performance.now();
        observe(report.result === 'SCORED' ? 'scored' : 'no_history', seconds());
        return report;
      } catch (error) {
        if (error instanceof BureauAwayError) throw error;
        if (isBrokenCircuitError(error)) {
          observe('breaker_open');
          throw new BureauAwayError('the bureau is left alone after too many failures');
        }
        observe(error instanceof BureauError ? error.failure : 'error', seconds());
        throw isAway(error) ? new BureauAwayError('the bureau is away', { cause: error }) : error;
      }
    },
  };
}

function isAboutOne({ failure }: BureauError): boolean {
  return failure === 'invalid' || failure === 'rejected';
}

function isWorthRetrying(error: unknown): boolean {
  return error instanceof BureauError && (error.failure === 'unavailable' || error.failure === 'timeout');
}

function measure(metrics: Registry, breakerState: () => CircuitState) {
  const calls = counterOf(metrics, {
    name: 'prequal_bureau_calls_total',
    help: 'Calls to the bureau with all their attempts, by outcome; breaker_open ones were not made',
    labelNames: ['outcome'],
  });
  const duration = new Histogram({
    name: 'prequal_bureau_call_seconds',
    help: 'How long a call to the bureau took with all its attempts',
    buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 60],
    registers: [metrics],
  });
  gaugeOf(
    metrics,
    { name: 'prequal_bureau_breaker_state', help: '0: closed, calls are made; 1: open, none is; 2: one is tried' },
    breakerState,
  );
  return (outcome: string, seconds?: number) => {
    calls.inc({ outcome });
    if (seconds !== undefined) duration.observe(seconds);
  };
}
