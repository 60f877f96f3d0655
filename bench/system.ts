import type { ServiceProcess } from '@prequal/local-stack';
import { connectBroker, provision } from '@prequal/messaging';
import { createLog } from '@prequal/service';
import type { DatabaseUrls, NatsUrls, Servers } from './servers.ts';
import type { Metered } from './usage.ts';

/** The services as real processes on a database and a nats-server of their own. */
export type System = AsyncDisposable & {
  gateway: ServiceProcess;
  /** of GraphQL */
  url: string;
  database: DatabaseUrls;
  nats: NatsUrls;
  processes: Metered[];
};

export type SystemOptions = {
  name: string;
  /** without them what is accepted waits in its stream */
  workers: boolean;
  env?: NodeJS.ProcessEnv;
  /** called before the services start */
  fill?: (database: DatabaseUrls) => Promise<void>;
};

export async function startSystem(servers: Servers, options: SystemOptions): Promise<System> {
  const { name, workers, env = {}, fill } = options;
  const [database, nats] = await Promise.all([servers.newDatabase(name.replaceAll('-', '_')), servers.newNats(name)]);
  await fill?.(database);
  const start = (service: 'gateway' | 'scoring' | 'decisioning') =>
    servers.startProcess({
      name: `${name}-${service}`,
      service,
      env: {
        ...env,
        NATS_URL: nats[service],
        ...(service !== 'scoring' && { DATABASE_URL: database[service] }),
      },
    });
  // Decisioning makes the streams that all need.
  if (!workers) await makeStreams(nats);
  const [gateway, ...others] = await Promise.all([
    start('gateway'),
    ...(workers ? [start('scoring'), start('decisioning')] : []),
  ]);
  const services = [gateway, ...others];
  return {
    gateway,
    url: `${gateway.address}/graphql`,
    database,
    nats,
    processes: [...services.map(({ metered }) => metered), servers.postgres, nats.metered],
    [Symbol.asyncDispose]: async () => {
      await Promise.all(services.map((service) => service[Symbol.asyncDispose]()));
      await servers.dropDatabase(database);
    },
  };
}

async function makeStreams(nats: NatsUrls): Promise<void> {
  await using broker = connectBroker({ natsUrl: nats.admin, name: 'bench', log: createLog('bench', 'fatal') });
  const { jsm } = await broker.jetStream();
  await provision(jsm, { replicas: 1, ackWaitMs: 30_000 });
}
