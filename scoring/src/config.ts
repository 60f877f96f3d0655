import { keyRing } from '@prequal/pan';
import { commonConfig, port, positiveInt, workerConfig } from '@prequal/service';
import { z } from 'zod';

export const scoringConfig = {
  ...commonConfig,
  SCORING_HOST: z.string().default('127.0.0.1'),
  SCORING_PORT: port(4001),
  ...workerConfig,
  SCORING_MAX_CONCURRENT: positiveInt(64),
  PAN_ENCRYPTION_KEYS: keyRing,
  NODE_ENV: z.string().optional(),
  /** The two PANs with a fixed score; off in production unless asked for. */
  SANDBOX_FIXTURES: z.enum(['on', 'off']).optional(),
};
