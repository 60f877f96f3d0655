import path from 'node:path';
import { commonConfig, databaseUrl, natsUrl, port, readConfig } from '@prequal/service';
import { z } from 'zod';
import { freePort, requireFreePort } from './ports.ts';

/** What the runner reads from the environment, folders made absolute. */
export type StackConfig = {
  gatewayHost: string;
  ports: ServicePorts;
  /** Of the embedded servers; 0 means any free one, the same as last time when possible. */
  postgresPort: number;
  natsPort: number;
  /** Set: use these instead of starting a server. */
  databaseUrl: string | undefined;
  natsUrl: string | undefined;
  dataDir: string;
  /** Where Node keeps compiled code: the second start loads a third faster. */
  compileCacheDir: string;
  logLevel: string;
};

export type ServicePorts = { gateway: number; scoring: number; decisioning: number };

const portVariables = { gateway: 'GATEWAY_PORT', scoring: 'SCORING_PORT', decisioning: 'DECISIONING_PORT' } as const;

/** Reads the configuration. Throws `ConfigError` naming every variable that is wrong. */
export function readStackConfig(env: NodeJS.ProcessEnv, repoRoot: string): StackConfig {
  const config = readConfig(
    {
      GATEWAY_HOST: z.string().default('127.0.0.1'),
      GATEWAY_PORT: port(4000),
      SCORING_PORT: port(4001),
      DECISIONING_PORT: port(4002),
      POSTGRES_PORT: port(0),
      NATS_PORT: port(0),
      DATABASE_URL: databaseUrl.optional(),
      NATS_URL: natsUrl.optional(),
      PREQUAL_DATA_DIR: z.string().default('.data'),
      LOG_LEVEL: commonConfig.LOG_LEVEL,
    },
    env,
  );
  const dataDir = path.resolve(repoRoot, config.PREQUAL_DATA_DIR);
  return {
    gatewayHost: config.GATEWAY_HOST,
    ports: { gateway: config.GATEWAY_PORT, scoring: config.SCORING_PORT, decisioning: config.DECISIONING_PORT },
    postgresPort: config.POSTGRES_PORT,
    natsPort: config.NATS_PORT,
    databaseUrl: config.DATABASE_URL,
    natsUrl: config.NATS_URL,
    dataDir,
    compileCacheDir: path.join(dataDir, 'cache', 'compiled'),
    logLevel: config.LOG_LEVEL,
  };
}

/**
 * The ports the services will listen on, 0 replaced by a free one: a restarted service must come back
 * where its clients look for it. Throws an Error for people when one is occupied or given twice.
 */
export async function chooseServicePorts({ ports, gatewayHost }: StackConfig): Promise<ServicePorts> {
  const chosen = { ...ports };
  for (const name of ['gateway', 'scoring', 'decisioning'] as const) {
    const host = name === 'gateway' ? gatewayHost : '127.0.0.1';
    if (chosen[name] === 0) chosen[name] = await freePort(host);
    else await requireFreePort(chosen[name], portVariables[name], host);
    for (const other of ['gateway', 'scoring', 'decisioning'] as const) {
      if (other !== name && chosen[other] === chosen[name]) {
        throw new Error(
          `${portVariables[name]} and ${portVariables[other]} are both ${chosen[name]}. Set one of them to another port.`,
        );
      }
    }
  }
  return chosen;
}
