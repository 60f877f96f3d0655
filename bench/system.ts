import type { ServiceProcess } from '@prequal/local-stack';
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
  // It makes the streams, also for those who run without it.
  const decisioning = await start('decisioning');
  const scoring = workers ? await start('scoring') : undefined;
  if (!workers) await decisioning[Symbol.asyncDispose]();
  const gateway = await start('gateway');
  const services = [gateway, ...(scoring ? [scoring, decisioning] : [])];
  return {
    gateway,
    url: `${gateway.address}/graphql`,
    database,
    nats,
    processes: [...services.map(({ metered }) => metered), servers.postgres, nats.metered],
    [Symbol.asyncDispose]: async () => {
      for (const service of services) await service[Symbol.asyncDispose]();
    },
  };
}
