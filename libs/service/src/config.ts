import { z } from 'zod';

/** The environment is not what the service needs; the message names each variable and what it must be. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/**
 * Reads a service's configuration from environment variables. An empty variable counts as absent.
 * Throws `ConfigError` naming every variable that is wrong, never its value (it may be a secret).
 */
export function readConfig<Shape extends z.ZodRawShape>(
  shape: Shape,
  env: NodeJS.ProcessEnv,
): z.output<z.ZodObject<Shape>> {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
  const parsed = z.object(shape).safeParse(given);
  if (parsed.success) return parsed.data;
  const lines = parsed.error.issues.map((issue) => `  ${issue.path.join('.')}: ${issue.message}`);
  throw new ConfigError(`The environment is not complete or not valid. Set or correct:\n${lines.join('\n')}`);
}

/** A TCP port; 0 means any free one. */
export function port(defaultPort: number) {
  return z.coerce.number().int().min(0).max(65_535).default(defaultPort);
}

/** A whole number with its unit in the variable's name, at least 1. */
export function positiveInt(defaultValue: number) {
  return z.coerce.number().int().min(1).default(defaultValue);
}

/** What every service reads. */
export const commonConfig = {
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  NATS_URL: z.string({ error: 'the NATS servers, e.g. nats://127.0.0.1:4222 (comma-separated for a cluster)' }),
};

/** What a service that uses PostgreSQL reads as well. */
export const databaseConfig = {
  DATABASE_URL: z.string({ error: 'the PostgreSQL database, e.g. postgres://user:password@127.0.0.1:5432/prequal' }),
  DATABASE_POOL_MAX: positiveInt(10),
};
