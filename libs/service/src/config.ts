import { z } from 'zod';
import { databaseTlsConfig, natsTlsConfig } from './tls.ts';

/** The environment is not what the service needs; the message names each variable and what it must be. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/**
 * Reads a service's configuration from environment variables. An empty variable counts as absent.
 * Throws `ConfigError` naming every variable that is wrong, never its value (it may be a secret). `rules` finds
 * what no variable shows alone: a sentence for each variable that must be another.
 */
export function readConfig<Shape extends z.ZodRawShape>(
  shape: Shape,
  env: NodeJS.ProcessEnv,
  rules: (env: NodeJS.ProcessEnv) => Record<string, string> = () => ({}),
): z.output<z.ZodObject<Shape>> {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const parsed = z.object(shape).safeParse(given);
  const broken = Object.entries(rules(env)).map(([variable, rule]) => `  ${variable}: ${rule}`);
  if (parsed.success && broken.length === 0) return parsed.data;
  const wrong = parsed.error?.issues.map((issue) => `  ${issue.path.join('.')}: ${issue.message}`) ?? [];
  const lines = [...wrong, ...broken];
  throw new ConfigError(`The environment is not complete or not valid. Set or correct:\n${lines.join('\n')}`);
}

const portRule = 'must be a port, 0 to 65535 (0 = any free one)';
/** what a timer takes; a larger wait would pass at once */
const maxCount = 2 ** 31 - 1;
const countRule = `must be a whole number, 1 to ${maxCount}`;

/** A TCP port; 0 means any free one. */
export function port(defaultPort: number) {
  return z.coerce.number({ error: portRule }).int(portRule).min(0, portRule).max(65_535, portRule).default(defaultPort);
}

/** A whole number with its unit in the variable's name, at least 1. */
export function positiveInt(defaultValue: number) {
  return z.coerce
    .number({ error: countRule })
    .int(countRule)
    .min(1, countRule)
    .max(maxCount, countRule)
    .default(defaultValue);
}

const natsRule = 'must name the NATS servers, e.g. nats://127.0.0.1:4222 (comma-separated for a cluster)';
const databaseRule = 'must name the PostgreSQL database, e.g. postgres://user:password@127.0.0.1:5432/prequal';

export const natsUrl = z
  .string({ error: natsRule })
  .refine((urls) => urls.split(',').every((url) => isNatsUrl(url.trim())), { error: natsRule });

function isNatsUrl(url: string): boolean {
  return /^(nats|tls):\/\/[^/\s]+$/.test(url) && URL.canParse(url);
}

export const databaseUrl = z
  .string({ error: databaseRule })
  .refine((url) => URL.canParse(url) && /^postgres(ql)?:\/\/[^/]+\/./.test(url), { error: databaseRule });

/** What every service reads. */
export const commonConfig = {
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  NATS_URL: natsUrl,
  ...natsTlsConfig,
};

/** What a service that uses PostgreSQL reads as well. */
export const databaseConfig = {
  DATABASE_URL: databaseUrl,
  DATABASE_POOL_MAX: positiveInt(10),
  ...databaseTlsConfig,
};

/** What `npm run migrate` reads: whoever is named here is made, with the rights of the role of that name. */
export const migrateConfig = {
  DATABASE_URL: databaseUrl,
  GATEWAY_DATABASE_URL: databaseUrl.optional(),
  DECISIONING_DATABASE_URL: databaseUrl.optional(),
  OPERATOR_DATABASE_URL: databaseUrl.optional(),
  READER_DATABASE_URL: databaseUrl.optional(),
  ...databaseTlsConfig,
};

const delaysRule = 'must be whole numbers of milliseconds, comma-separated, e.g. 0,5000,15000';

/** What a worker reads. */
export const workerConfig = {
  /** all workers must agree on it */
  CONSUMER_ACK_WAIT_MS: positiveInt(30_000),
  /** before each further try of a message whose handler failed; after the last one it is dead-lettered */
  CONSUMER_RETRY_DELAYS_MS: z
    .string()
    .default('0,5000,15000,60000,300000')
    .refine((text) => /^\d{1,9}(,\d{1,9})*$/.test(text), { error: delaysRule })
    .transform((text) => text.split(',').map(Number)),
};
