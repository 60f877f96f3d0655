import path from 'node:path';
import { ensureDatabaseUsers } from '@prequal/persistence/database-users';
import { type NatsUser, natsUsers } from '@prequal/schema';
import type { StackConfig } from './config.ts';
import type { Credentials } from './credentials.ts';
import { findNatsServer } from './find-nats-server.ts';
import type { Log, OnSpawn } from './local-server.ts';
import type { NatsCluster } from './nats-cluster.ts';
import { startNatsCluster } from './nats-cluster.ts';
import { requireNats, startNatsServer } from './nats-server.ts';
import { natsUrlFor, restrictedUsers } from './nats-users.ts';
import { startPostgres } from './postgres.ts';
import type { ProcessName } from './ready-file.ts';
import type { Started } from './start-all.ts';
import { supervise } from './supervise.ts';
import type { Topology } from './topology.ts';

/** What starting one part of the stack needs besides its own options. */
export type StackContext = {
  config: StackConfig;
  topology: Topology;
  /** passwords of the users of the embedded servers */
  credentials: Credentials;
  log: Log;
  /** A process runs (again) and can be used: its id belongs into ready.json. */
  onRunning: (name: ProcessName, pid: number) => void | Promise<void>;
  onSpawn: OnSpawn;
};

/** How the owner of the schema reaches the database, and how each service does, with the rights of its role. */
export type DatabaseUrls = { owner: string; gateway: string; decisioning: string };

/** The database to use: DATABASE_URL, or an embedded PostgreSQL that is kept alive. */
export async function databaseServer(
  { config, credentials, log, onRunning, onSpawn }: StackContext,
  signal: AbortSignal,
): Promise<Started<DatabaseUrls>> {
  const owner = config.databaseUrl;
  if (owner) {
    const { gateway = owner, decisioning = owner } = config.databaseUrls;
    return { value: { owner, gateway, decisioning } };
  }
  const startedAt = performance.now();
  const options = { dataDir: path.join(config.dataDir, 'postgres'), log, onSpawn };
  const first = await startPostgres({ ...options, port: config.postgresPort, signal });
  await onRunning('postgres', first.pid);
  log(`PostgreSQL is ready on port ${first.port} (${seconds(startedAt)}).`);
  const resource = supervise({
    name: 'PostgreSQL',
    first,
    start: (again) => startPostgres({ ...options, port: first.port, signal: again }),
    onRestart: ({ pid }) => onRunning('postgres', pid),
    log,
  });
  try {
    return { value: await restrictedUrls(first.url, credentials), resource };
  } catch (error) {
    await resource[Symbol.asyncDispose]();
    throw error;
  }
}

async function restrictedUrls(owner: string, { gateway, decisioning }: Credentials): Promise<DatabaseUrls> {
  const urlOf = (username: string, password: string) => Object.assign(new URL(owner), { username, password }).href;
  const urls = { gateway: urlOf('gateway', gateway), decisioning: urlOf('decisioning', decisioning) };
  await ensureDatabaseUsers(owner, urls);
  return { owner, ...urls };
}

/** How each service reaches NATS, with what it may do there, and how an operator does. */
export type NatsUrls = Record<NatsUser, string>;

/** The NATS to use, and how many copies of each stream to keep there if we know better than the services. */
export type Nats = { urls: NatsUrls; streamReplicas?: string };

/** The NATS to use: NATS_URL, or an embedded nats-server or cluster that is kept alive. */
export async function natsServer(
  context: StackContext,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<Started<Nats>> {
  const { config, topology, log } = context;
  const given = config.natsUrl;
  if (given) {
    await requireNats(given, signal);
    const urls = natsUsers.map((user) => [user, (user !== 'operator' && config.natsUrls[user]) || given]);
    return { value: { urls: Object.fromEntries(urls) as NatsUrls } };
  }
  const { binary } = await findNatsServer({ cacheDir: path.join(config.dataDir, 'cache'), env, log, signal });
  return topology.natsServers === 1 ? oneNatsServer(context, binary, signal) : natsCluster(context, binary, signal);
}

async function oneNatsServer(
  { config, credentials, log, onRunning, onSpawn }: StackContext,
  binary: string,
  signal: AbortSignal,
): Promise<Started<Nats>> {
  const startedAt = performance.now();
  const users = restrictedUsers(credentials);
  const options = { binary, storeDir: path.join(config.dataDir, 'nats'), users, log, onSpawn };
  const first = await startNatsServer({ ...options, port: config.natsPort, signal });
  await onRunning('nats', first.pid);
  log(`NATS with JetStream is ready on port ${first.port} (${seconds(startedAt)}).`);
  const resource = supervise({
    name: 'nats-server',
    first,
    start: (again) => startNatsServer({ ...options, port: first.port, signal: again }),
    onRestart: ({ pid }) => onRunning('nats', pid),
    log,
  });
  return { value: { urls: natsUrlsOf(first.url, credentials) }, resource };
}

async function natsCluster(
  { config, topology, credentials, log, onRunning, onSpawn }: StackContext,
  binary: string,
  signal: AbortSignal,
): Promise<Started<Nats>> {
  const startedAt = performance.now();
  const size = topology.natsServers;
  // Not the folder of the single server: its streams are not those of a cluster.
  const storeDir = path.join(config.dataDir, 'nats-cluster');
  const cluster = await startNatsCluster({
    binary,
    storeDir,
    size,
    port: config.natsPort,
    users: restrictedUsers(credentials),
    routePassword: credentials.natsRoute,
    log,
    signal,
    onSpawn,
  });
  for (const [index, { pid }] of cluster.nodes.entries()) await onRunning(natsName(index), pid);
  const ports = cluster.nodes.map(({ port }) => port).join(', ');
  log(`A NATS cluster of ${size} with JetStream is ready on the ports ${ports} (${seconds(startedAt)}).`);
  return {
    value: { urls: natsUrlsOf(cluster.url, credentials), streamReplicas: String(size) },
    resource: keepClusterAlive(cluster, log, onRunning),
  };
}

function natsUrlsOf(natsUrl: string, credentials: Credentials): NatsUrls {
  const urls = natsUsers.map((user) => [user, natsUrlFor(natsUrl, { user, password: credentials[user] })]);
  return Object.fromEntries(urls) as NatsUrls;
}

function keepClusterAlive(cluster: NatsCluster, log: Log, onRunning: StackContext['onRunning']): AsyncDisposable {
  const supervised = new AsyncDisposableStack();
  for (const [index, first] of cluster.nodes.entries()) {
    supervised.use(
      supervise({
        name: natsName(index),
        first,
        start: (again) => cluster.startAgain(index, again),
        onRestart: ({ pid }) => onRunning(natsName(index), pid),
        log,
      }),
    );
  }
  return supervised;
}

function natsName(index: number): ProcessName {
  return index === 0 ? 'nats' : `nats-${index + 1}`;
}

/** Time since then, for people: "1.9 s". */
export function seconds(startedAt: number): string {
  return `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;
}
