import type { Servers } from '../servers.ts';
import type { Metered } from '../usage.ts';

/** The pipeline as one writes it first, on a database and a nats-server of its own. */
export type Straightforward = AsyncDisposable & {
  /** of GraphQL */
  url: string;
  processes: Metered[];
};

export async function startStraightforward(servers: Servers): Promise<Straightforward> {
  const [database, nats] = await Promise.all([
    servers.newDatabase('straightforward'),
    servers.newNats('straightforward'),
  ]);
  const env = { DATABASE_URL: database.owner, NATS_URL: nats.admin };
  const start = (name: string) =>
    servers.startProcess({ name: `straightforward-${name}`, entry: `straightforward/${name}.ts`, env });
  const names = ['gateway', 'scoring', 'decisioning'];
  const all = await Promise.all(names.map(start));
  return {
    url: `${all[0]?.address}/graphql`,
    processes: [...all.map(({ pid }, index) => ({ name: names[index] ?? '', pid })), servers.postgres, nats.metered],
    [Symbol.asyncDispose]: async () => {
      await Promise.all(all.map((process) => process[Symbol.asyncDispose]()));
    },
  };
}
