import type { Servers } from '../servers.ts';
import type { Metered } from '../usage.ts';

/** The pipeline as one writes it first, on a database and a nats-server of its own. */
export type Straightforward = AsyncDisposable & {
  /** of GraphQL */
  url: string;
  processes: Metered[];
};

const services = ['gateway', 'scoring', 'decisioning'] as const;

/** `name` tells it from others of the same run. */
export async function startStraightforward(servers: Servers, name: string): Promise<Straightforward> {
  const [database, nats] = await Promise.all([servers.newDatabase(name), servers.newNats(name)]);
  const env = { DATABASE_URL: database.owner, NATS_URL: nats.admin };
  const all = await Promise.all(
    services.map((service) =>
      servers.startProcess({ name: `${name}-${service}`, entry: `straightforward/${service}.ts`, env }),
    ),
  );
  return {
    url: `${all[0]?.address}/graphql`,
    processes: [...all.map(({ pid }, index) => ({ name: services[index] ?? '', pid })), servers.postgres, nats.metered],
    [Symbol.asyncDispose]: async () => {
      await Promise.all(all.map((process) => process[Symbol.asyncDispose]()));
      await servers.dropDatabase(database);
    },
  };
}
