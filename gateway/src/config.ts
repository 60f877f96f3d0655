import { developmentKeyRules, keyRing } from '@prequal/pan';
import { commonConfig, databaseConfig, gatewayTlsConfig, port, positiveInt, tlsRules } from '@prequal/service';
import { z } from 'zod';
import { authConfig, authRules } from './auth-config.ts';
import { limitsConfig } from './limits-config.ts';

export const gatewayConfig = {
  ...commonConfig,
  ...databaseConfig,
  GATEWAY_HOST: z.string().default('127.0.0.1'),
  GATEWAY_PORT: port(4000),
  ...gatewayTlsConfig,
  ...authConfig,
  PAN_ENCRYPTION_KEYS: keyRing,
  PAN_INDEX_KEYS: keyRing,
  NODE_ENV: z.string().optional(),
  /** Origins of web pages that may call the API, comma-separated; none by default. */
  CORS_ORIGINS: z
    .string()
    .default('')
    .transform((origins) =>
      origins
        .split(',')
        .map((origin) => origin.trim())
        .filter(Boolean),
    )
    .refine((origins) => origins.every((origin) => URL.canParse(origin) && new URL(origin).origin === origin), {
      error: 'must be origins, comma-separated, each like https://app.example.com',
    }),
  /** Whether a submission must say what the applicant has agreed to. */
  CONSENT_REQUIRED: z.enum(['on', 'off'], { error: 'must be on or off' }).default('off'),
  /** An application that is PENDING for longer without a message is given back to the queue. */
  RECONCILE_AFTER_MS: positiveInt(120_000),
  /** Each watched application is looked up again at least this often, in case the network lost a change. */
  STATUS_SWEEP_MS: positiveInt(60_000),
  ...limitsConfig,
  /** Whoever sends it in `x-prequal-synthetic` submits a test of the system and not an application. */
  SYNTHETIC_TOKEN: z.string().min(16).optional(),
};

export type GatewayConfig = z.output<z.ZodObject<typeof gatewayConfig>>;

/** What no variable shows alone. */
export function gatewayRules(env: NodeJS.ProcessEnv): Record<string, string> {
  return { ...authRules(env), ...developmentKeyRules(env), ...tlsRules('GATEWAY', 'DATABASE', 'NATS')(env) };
}
