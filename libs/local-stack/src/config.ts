import path from 'node:path';
import {
  type ClientTls,
  commonConfig,
  databaseTls,
  databaseTlsConfig,
  databaseUrl,
  natsUrl,
  port,
  readConfig,
  tlsRules,
} from '@prequal/service';
import { z } from 'zod';
import { freePort, rememberedPort, requireFreePort } from './ports.ts';
import type { ServiceInstanceName, ServiceName, Topology } from './topology.ts';
import { instancesOf, single } from './topology.ts';

/** What the runner reads from the environment, folders made absolute. */
export type StackConfig = {
  gatewayHost: string;
  ports: ServicePorts;
  /** Of the embedded servers; 0 means any free one, the same as last time when possible. */
  postgresPort: number;
  natsPort: number;
  /** Set: use these instead of starting a server. */
  databaseUrl: string | undefined;
  /** Set: the services use these instead of `databaseUrl`, which then migrates only. */
  databaseUrls: { gateway: string | undefined; decisioning: string | undefined };
  /** Only for a DATABASE_URL. */
  databaseTls: ClientTls | undefined;
  natsUrl: string | undefined;
  /** Set: the services use these instead of `natsUrl`. */
  natsUrls: Record<ServiceName, string | undefined>;
  dataDir: string;
  /** Where Node keeps compiled code: the second start loads a third faster. */
  compileCacheDir: string;
  logLevel: string;
};

export type ServicePorts = Record<ServiceName, number>;

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
      GATEWAY_DATABASE_URL: databaseUrl.optional(),
      DECISIONING_DATABASE_URL: databaseUrl.optional(),
      ...databaseTlsConfig,
      NATS_URL: natsUrl.optional(),
      GATEWAY_NATS_URL: natsUrl.optional(),
      SCORING_NATS_URL: natsUrl.optional(),
      DECISIONING_NATS_URL: natsUrl.optional(),
      PREQUAL_DATA_DIR: z.string().default('.data'),
      LOG_LEVEL: commonConfig.LOG_LEVEL,
    },
    env,
    stackRules,
  );
  const dataDir = path.resolve(repoRoot, config.PREQUAL_DATA_DIR);
  return {
    gatewayHost: config.GATEWAY_HOST,
    ports: { gateway: config.GATEWAY_PORT, scoring: config.SCORING_PORT, decisioning: config.DECISIONING_PORT },
    postgresPort: config.POSTGRES_PORT,
    natsPort: config.NATS_PORT,
    databaseUrl: config.DATABASE_URL,
    databaseUrls: { gateway: config.GATEWAY_DATABASE_URL, decisioning: config.DECISIONING_DATABASE_URL },
    databaseTls: databaseTls(config),
    natsUrl: config.NATS_URL,
    natsUrls: {
      gateway: config.GATEWAY_NATS_URL,
      scoring: config.SCORING_NATS_URL,
      decisioning: config.DECISIONING_NATS_URL,
    },
    dataDir,
    compileCacheDir: path.join(dataDir, 'cache', 'compiled'),
    logLevel: config.LOG_LEVEL,
  };
}

// The embedded servers and the runner's own requests to the gateway speak no TLS, on this machine alone.
function stackRules(env: NodeJS.ProcessEnv): Record<string, string> {
  const plain = { DATABASE: 'DATABASE_URL', NATS: 'NATS_URL', GATEWAY: undefined };
  const needless = Object.entries(plain).flatMap(([server, variable]) => {
    if (variable && env[variable]) return [];
    const set = Object.keys(env).filter((name) => name.startsWith(`${server}_TLS_`) && env[name]);
    const instead = variable
      ? `only used with ${variable}`
      : 'not used by npm start: run gateway/src/main.ts by itself';
    return set.map((name) => [name, `is ${instead}`]);
  });
  return { ...tlsRules('DATABASE')(env), ...Object.fromEntries(needless) };
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

/** A process of a service to be started, with the ports it is told. */
export type ServiceInstance = { name: ServiceInstanceName; service: ServiceName; ports: ServicePorts };

/**
 * Every service process of the topology. The first of each service listens where its variable says, see
 * `chooseServicePorts`; each further one on a free port, the same as last time when possible.
 */
export async function planServices(config: StackConfig, topology: Topology = single): Promise<ServiceInstance[]> {
  const first = await chooseServicePorts(config);
  const planned: ServiceInstance[] = [];
  const taken = Object.values(first);
  for (const service of ['gateway', 'scoring', 'decisioning'] as const) {
    for (const [index, name] of instancesOf(service, topology).entries()) {
      const file = path.join(config.dataDir, `${name}.port`);
      const itsPort = index === 0 ? first[service] : await rememberedPort(file, taken);
      taken.push(itsPort);
      planned.push({ name, service, ports: { ...first, [service]: itsPort } });
    }
  }
  return planned;
}
