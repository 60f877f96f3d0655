import { commonConfig, databaseConfig, port, positiveInt, workerConfig } from '@prequal/service';
import { z } from 'zod';

export const decisioningConfig = {
  ...commonConfig,
  ...databaseConfig,
  DECISIONING_HOST: z.string().default('127.0.0.1'),
  DECISIONING_PORT: port(4002),
  ...workerConfig,
  /** copies of each stream that it makes */
  STREAM_REPLICAS: positiveInt(1),
  DECISIONING_BATCH_MAX: positiveInt(256),
};
