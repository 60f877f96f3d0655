import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import {
  findNatsServer,
  freePort,
  type LocalServer,
  type NatsServer,
  natsUrlFor,
  type OnSpawn,
  restrictedUsers,
  startNatsServer,
  startPostgres,
} from '@prequal/local-stack';
import { type Broker, connectBroker } from '@prequal/messaging';
import { developmentKeys } from '@prequal/pan';
import { type Database, migrate, openDatabase } from '@prequal/persistence';
import { createLog } from '@prequal/service';
import type { History } from './history.ts';
import { type ManagedServer, manageServer } from './server.ts';
import { type ManagedService, manageService, type ServiceKind } from './service.ts';
import { createLink, type Link } from './tcp-proxy.ts';

/** Everything that runs, and every link between the parts. */
export type System = AsyncDisposable & {
  folder: string;
  services: ManagedService[];
  postgres: ManagedServer;
  nats: ManagedServer<NatsServer>;
  natsStore: string;
  /** from a service to PostgreSQL or NATS */
  serverLinks: Link[];
  /** from clients to the gateways */
  clientLinks: Link[];
  /** ways of the harness' own that no fault touches */
  database: Database;
  broker: Broker;
  /** While this file exists, marked applications are handled as any other. */
  healedFile: string;
};

/**
 * Short times, so that what takes minutes in production happens within seconds; the sweep of watched ids is off,
 * since it would hide an update that was not delivered. Each may be set from outside.
 */
const times = {
  CONSUMER_ACK_WAIT_MS: '3000',
  CONSUMER_RETRY_DELAYS_MS: '0,200,500',
  RECONCILE_AFTER_MS: '3000',
  STATUS_SWEEP_MS: '600000',
};

/** Each service has in NATS what it may do in production; the faults come from one who may do anything. */
const passwords = { gateway: 'gateway', scoring: 'scoring', decisioning: 'decisioning', operator: 'operator' };
const admin = { user: 'chaos', password: 'chaos' };

const repoRoot = path.resolve(import.meta.dirname, '../..');
const kinds: readonly ServiceKind[] = ['gateway', 'scoring', 'decisioning'];

export async function startSystem(folder: string, history: History, onSpawn: OnSpawn): Promise<System> {
  await using owned = new AsyncDisposableStack();
  await mkdir(path.join(folder, 'logs'), { recursive: true });
  const natsStore = path.join(folder, 'nats');
  const { binary } = await findNatsServer({ cacheDir: path.join(repoRoot, '.data', 'cache'), env: process.env });
  const postgres = owned.use(
    await manageServer(
      'postgres',
      (port) => startPostgres({ dataDir: path.join(folder, 'postgres'), port, onSpawn }),
      history,
    ),
  );
  const users = [...restrictedUsers(passwords), admin];
  const nats = owned.use(
    await manageServer(
      'nats',
      (port) => startNatsServer({ binary, storeDir: natsStore, port, users, onSpawn }),
      history,
    ),
  );
  const databaseUrl = postgres.current().url;
  await migrate({ databaseUrl });
  const log = createLog('chaos', 'silent');
  const database = owned.use(await openDatabase({ databaseUrl, poolMax: 4, applicationName: 'chaos' }));
  const broker = owned.use(connectBroker({ natsUrl: natsUrlFor(nats.current().url, admin), name: 'chaos', log }));
  const healedFile = path.join(folder, 'healed');
  const env = {
    ...process.env,
    ...times,
    ...Object.fromEntries(Object.keys(times).flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : []))),
    ...(await developmentKeys(folder)),
    CHAOS_HEALED_FILE: healedFile,
    NODE_COMPILE_CACHE: path.join(repoRoot, '.data', 'cache', 'compiled'),
    LOG_LEVEL: 'info',
    NODE_OPTIONS: `--expose-gc --import=${import.meta.resolve('./collect-on-signal.ts')}`,
  };

  const serverLinks: Link[] = [];
  const link = async (name: string, to: number): Promise<Link> =>
    owned.use(await createLink({ name, port: await freePort(), to }));
  const linked = async (service: string, server: LocalServer, name: string): Promise<string> => {
    const made = await link(`${service}>${name}`, server.port);
    serverLinks.push(made);
    return Object.assign(new URL(server.url), { port: String(made.port) }).href;
  };
  const start = async (kind: ServiceKind, number: number): Promise<ManagedService> => {
    const name = `${kind}-${number}`;
    const upper = kind.toUpperCase();
    return manageService({
      name,
      kind,
      entry: kind === 'scoring' ? path.join(import.meta.dirname, 'scoring-with-faults.ts') : undefined,
      env: {
        ...env,
        NATS_URL: natsUrlFor((await linked(name, nats.current(), 'nats')).replace(/\/$/, ''), {
          user: kind,
          password: passwords[kind],
        }),
        ...(kind !== 'scoring' && { DATABASE_URL: await linked(name, postgres.current(), 'postgres') }),
        [`${upper}_HOST`]: '127.0.0.1',
        [`${upper}_PORT`]: String(await freePort()),
      },
      repoRoot,
      logFile: path.join(folder, 'logs', `${name}.log`),
      history,
      onSpawn,
    });
  };
  const services = await Promise.all(kinds.flatMap((kind) => [start(kind, 1), start(kind, 2)]));
  owned.defer(async () => {
    await Promise.all(services.map((service) => service[Symbol.asyncDispose]()));
  });
  const clientLinks = [];
  for (const { kind, name, address } of services) {
    if (kind === 'gateway') clientLinks.push(await link(`client>${name}`, Number(new URL(address).port)));
  }
  const running = owned.move();
  return {
    folder,
    services,
    postgres,
    nats,
    natsStore,
    serverLinks,
    clientLinks,
    database,
    broker,
    healedFile,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
