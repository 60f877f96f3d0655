import { developmentKeyRules, keyRing } from '@prequal/pan';
import { commonConfig, port, positiveInt, tlsRules, workerConfig } from '@prequal/service';
import { z } from 'zod';

const urlRule = 'must be the address of the bureau, e.g. https://bureau.example, without user, query or fragment';
const tokenRule = 'must be of printable characters without spaces';

const bureauConfig = {
  /** not set: the simulated bureau */
  BUREAU_URL: z
    .string()
    // What fetch refuses it repeats in its error, a password included.
    .refine((url) => /^https?:\/\/[^\s?#@]+$/.test(url) && URL.canParse(url), { error: urlRule })
    .transform((url) => url.replace(/\/+$/, ''))
    .optional(),
  BUREAU_TOKEN: z
    .string()
    .regex(/^[\x21-\x7e]+$/, { error: tokenRule })
    .optional(),
  BUREAU_TIMEOUT_MS: positiveInt(5_000),
  BUREAU_ATTEMPTS: positiveInt(3),
  BUREAU_RETRY_BASE_MS: positiveInt(200),
  BUREAU_BREAKER_FAILURES: positiveInt(5),
  BUREAU_BREAKER_RESET_MS: positiveInt(60_000),
};

export const scoringConfig = {
  ...commonConfig,
  SCORING_HOST: z.string().default('127.0.0.1'),
  SCORING_PORT: port(4001),
  ...workerConfig,
  SCORING_MAX_CONCURRENT: positiveInt(64),
  ...bureauConfig,
  PAN_ENCRYPTION_KEYS: keyRing,
  NODE_ENV: z.string().optional(),
  /** The two PANs with a fixed score; always off in production. */
  SANDBOX_FIXTURES: z.enum(['on', 'off']).optional(),
};

/** What no variable shows alone. */
export function scoringRules(env: NodeJS.ProcessEnv): Record<string, string> {
  const fixturesOn = env['NODE_ENV'] === 'production' && env['SANDBOX_FIXTURES'] === 'on';
  const rule = 'must be off in production: with it, whoever writes a PAN of the sandbox has its score';
  return { ...developmentKeyRules(env), ...tlsRules('NATS')(env), ...(fixturesOn && { SANDBOX_FIXTURES: rule }) };
}
