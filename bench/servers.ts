import { mkdir, open } from 'node:fs/promises';
import path from 'node:path';
import {
  findNatsServer,
  freePort,
  natsUrlFor,
  type OnSpawn,
  restrictedUsers,
  type ServiceProcess,
  startNatsServer,
  startPostgres,
  startService,
  untilServiceReady,
} from '@prequal/local-stack';
import { ensureDatabaseUsers, migrate, openDatabase, sql } from '@prequal/persistence';
import { productionEnv } from './environment.ts';
import type { Metered } from './usage.ts';

/** The servers and processes of one run, in a folder of their own. Disposing stops them in order. */
export type Servers = AsyncDisposable & {
  postgres: Metered;
  /** A database of its own with the current schema. */
  newDatabase: (name: string) => Promise<DatabaseUrls>;
  /** Nobody needs it any more: left there, PostgreSQL would go on to vacuum it while the next one is measured. */
  dropDatabase: (database: DatabaseUrls) => Promise<void>;
  newNats: (name: string) => Promise<NatsUrls>;
  /** A process that tells where it listens; without `entry` that of the service. */
  startProcess: (process: ProcessOptions) => Promise<ServiceProcess & { metered: Metered }>;
  onSpawn: OnSpawn;
};

export type DatabaseUrls = { owner: string; gateway: string; decisioning: string };
export type NatsUrls = Record<ServiceName | 'admin', string> & { metered: Metered };
type ServiceName = 'gateway' | 'scoring' | 'decisioning';
export type ProcessOptions = { name: string; service?: ServiceName; entry?: string; env: NodeJS.ProcessEnv };

export type ServersOptions = {
  folder: string;
  onSpawn: OnSpawn;
  /** folder for a CPU profile of each process, written when it ends */
  profilesTo: string | undefined;
};

const repoRoot = path.resolve(import.meta.dirname, '..');
const passwords = { gateway: 'gateway', scoring: 'scoring', decisioning: 'decisioning', operator: 'operator' };
const admin = { user: 'bench', password: 'bench' };

export async function startServers({ folder, onSpawn, profilesTo }: ServersOptions): Promise<Servers> {
  await using owned = new AsyncDisposableStack();
  await mkdir(path.join(folder, 'logs'), { recursive: true });
  const { binary } = await findNatsServer({ cacheDir: path.join(repoRoot, '.data', 'cache'), env: process.env });
  const postgres = owned.use(await startPostgres({ dataDir: path.join(folder, 'postgres'), port: 0, onSpawn }));
  const production = productionEnv();
  const profiling = profilesTo ? ` --cpu-prof --cpu-prof-dir=${path.resolve(profilesTo)}` : '';
  const running = owned.move();
  // Users belong to the server and not to a database: one at a time makes them.
  let making: Promise<unknown> = Promise.resolve();
  return {
    postgres: { name: 'PostgreSQL', pid: postgres.pid, withChildren: true },
    newDatabase: (name) => {
      const made = making.then(() => makeDatabase(postgres.url, name));
      making = made.catch(() => undefined);
      return made;
    },
    dropDatabase: async ({ owner }) => {
      const name = new URL(owner).pathname.slice(1);
      await using server = await openDatabase({ databaseUrl: postgres.url, poolMax: 1, applicationName: 'bench' });
      await sql`drop database ${sql.id(name)} with (force)`.execute(server.sql());
    },
    newNats: async (name) => {
      const users = [...restrictedUsers(passwords), admin];
      const storeDir = path.join(folder, `nats-${name}`);
      const server = running.use(await startNatsServer({ binary, storeDir, port: 0, users, onSpawn }));
      const urlOf = (user: ServiceName) => natsUrlFor(server.url, { user, password: passwords[user] });
      return {
        gateway: urlOf('gateway'),
        scoring: urlOf('scoring'),
        decisioning: urlOf('decisioning'),
        admin: natsUrlFor(server.url, admin),
        metered: { name: 'NATS', pid: server.pid },
      };
    },
    startProcess: async ({ name, service, entry, env }) => {
      await using log = await open(path.join(folder, 'logs', `${name}.log`), 'a');
      const options = [
        production['NODE_OPTIONS'],
        env['NODE_OPTIONS'],
        profiling && `${profiling} --cpu-prof-name=${name}.cpuprofile`,
      ];
      // A port below those that clients are given.
      const port = String(await freePort());
      const ports = { GATEWAY_PORT: port, SCORING_PORT: port, DECISIONING_PORT: port };
      const started = await startService({
        name,
        repoRoot,
        output: log.fd,
        env: { ...production, ...ports, ...env, NODE_OPTIONS: options.filter(Boolean).join(' ') },
        ...(service && { service }),
        ...(entry && { entry: path.join(import.meta.dirname, entry) }),
        onSpawn,
      });
      running.use(started);
      if (service) {
        const notReady = await untilServiceReady(started);
        if (notReady !== undefined) throw new Error(`${name} did not become ready: ${notReady}`);
      }
      return { ...started, metered: { name: service ?? name, pid: started.pid, withChildren: true } };
    },
    onSpawn,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

async function makeDatabase(serverUrl: string, name: string): Promise<DatabaseUrls> {
  const urlOf = (username?: string) => {
    const url = Object.assign(new URL(serverUrl), { pathname: `/${name}` });
    return username ? Object.assign(url, { username, password: username }).href : url.href;
  };
  await using server = await openDatabase({ databaseUrl: serverUrl, poolMax: 1, applicationName: 'bench' });
  await sql`create database ${sql.id(name)}`.execute(server.sql());
  const urls = { owner: urlOf(), gateway: urlOf('gateway'), decisioning: urlOf('decisioning') };
  await ensureDatabaseUsers(urls.owner, { gateway: urls.gateway, decisioning: urls.decisioning });
  await migrate({ databaseUrl: urls.owner });
  return urls;
}
