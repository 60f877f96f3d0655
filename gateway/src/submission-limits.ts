import type { StatementClient } from '@prequal/persistence';
import type { Logger } from '@prequal/service';
import { RateLimiterMemory, RateLimiterPostgres, RateLimiterRes } from 'rate-limiter-flexible';
import { createAllowances } from './allowances.ts';
import type { GatewayConfig } from './config.ts';

/** Whose submission it is, in the sense of each limit; null where the limit does not apply. */
type Counted = { caller: string | null; address: string; pan: string };

export type SubmissionLimits = AsyncDisposable & {
  /** Counts one submission: takes it back, or says after how long there is room for another one. */
  count: (counted: Counted) => Promise<(() => void) | { retryAfterMs: number }>;
};

type LimitsConfig = Pick<
  GatewayConfig,
  | 'GATEWAY_MAX_SUBMISSIONS_PER_CALLER_PER_HOUR'
  | 'GATEWAY_MAX_SUBMISSIONS_PER_ADDRESS_PER_HOUR'
  | 'GATEWAY_MAX_SUBMISSIONS_PER_PAN_PER_DAY'
>;

export type SubmissionLimitsDeps = {
  client: StatementClient;
  /** keeps what is counted out of the table: a PAN, a name, an address */
  digest: (text: string) => string;
  log: Logger;
};

const hourSeconds = 3_600;
const clearEveryMs = 10 * 60_000;
/** what this gateway grants by itself: one part in four */
const ownShare = 4;

/**
 * How many applications one caller, one address, and anybody for one PAN may submit. A count in PostgreSQL for
 * each would cost a round trip a submission, for callers who nearly all submit once or twice. So each gateway
 * grants a quarter of a limit from its own memory, and only what is beyond is counted in PostgreSQL, for all
 * gateways together; who is refused there is refused from memory until the time is over. With n gateways a
 * caller gets at most (n + 3) / 4 of the limit. While PostgreSQL is away each gateway counts for itself.
 */
export function createSubmissionLimits(config: LimitsConfig, deps: SubmissionLimitsDeps): SubmissionLimits {
  const limits = {
    caller: limitOf('caller', config.GATEWAY_MAX_SUBMISSIONS_PER_CALLER_PER_HOUR, hourSeconds, deps),
    address: limitOf('address', config.GATEWAY_MAX_SUBMISSIONS_PER_ADDRESS_PER_HOUR, hourSeconds, deps),
    pan: limitOf('pan', config.GATEWAY_MAX_SUBMISSIONS_PER_PAN_PER_DAY, 24 * hourSeconds, deps),
  };
  const names = ['caller', 'address', 'pan'] as const;
  const isLimited = names.some((name) => limits[name] !== undefined);
  const timer = setInterval(() => {
    const expired = { text: 'delete from rate_limits where expire < $1', values: [Date.now()] };
    deps.client.query(expired).catch((error: unknown) => deps.log.debug({ err: error }, 'counts were not cleared'));
  }, clearEveryMs);
  timer.unref();
  if (!isLimited) clearInterval(timer);
  return {
    count: async (counted) => {
      const taken: (() => void)[] = [];
      const giveBack = () => {
        for (const back of taken) back();
      };
      for (const name of names) {
        const subject = counted[name];
        const limit = limits[name];
        if (subject === null || !limit) continue;
        const answer = await limit(deps.digest(subject)).catch((error: unknown) => {
          giveBack();
          throw error;
        });
        if (typeof answer !== 'function') {
          giveBack();
          return answer;
        }
        taken.push(answer);
      }
      return giveBack;
    },
    [Symbol.asyncDispose]: async () => clearInterval(timer),
  };
}

type Limit = (key: string) => Promise<(() => void) | { retryAfterMs: number }>;

function limitOf(
  name: string,
  max: number,
  duration: number,
  { client, log }: SubmissionLimitsDeps,
): Limit | undefined {
  if (max === Number.POSITIVE_INFINITY) return undefined;
  const own = Math.floor(max / ownShare);
  const points = max - own;
  const granted = createAllowances(own, duration * 1_000);
  const shared = new RateLimiterPostgres({
    storeClient: client,
    storeType: 'client',
    tableName: 'rate_limits',
    tableCreated: true,
    clearExpiredByTimeout: false,
    keyPrefix: name,
    points,
    duration,
    inMemoryBlockOnConsumed: points + 1,
    insuranceLimiter: new RateLimiterMemory({ keyPrefix: name, points, duration }),
  });
  const giveBackShared = (key: string) => {
    shared.reward(key).catch((error: unknown) => log.debug({ err: error }, 'a count was not taken back'));
  };
  return async (key) => {
    if (granted.take(key)) return () => granted.giveBack(key);
    try {
      await shared.consume(key);
      return () => giveBackShared(key);
    } catch (refused) {
      if (refused instanceof RateLimiterRes) return { retryAfterMs: Math.max(1, refused.msBeforeNext) };
      throw refused;
    }
  };
}
