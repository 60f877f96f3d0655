import { randomBytes } from 'node:crypto';
import { enableCompileCache } from 'node:module';
import path from 'node:path';
import type { ClientTls } from '@prequal/service';
import { planServices, readStackConfig } from './config.ts';
import { readCredentials } from './credentials.ts';
import type { Log, OnSpawn } from './local-server.ts';
import type { ReadyFile } from './ready-file.ts';
import { removeReadyFile, writeReadyFile } from './ready-file.ts';
import { lockDataFolder } from './runner-lock.ts';
import type { DatabaseUrls, Nats, StackContext } from './stack-servers.ts';
import { databaseServer, natsServer, seconds } from './stack-servers.ts';
import { serviceEnv, stopLeftOverServices, supervisedService } from './stack-services.ts';
import { orAborted, startAll } from './start-all.ts';
import type { SyntheticResult } from './synthetic.ts';
import { sendSynthetic } from './synthetic.ts';
import type { ServiceName, Topology } from './topology.ts';
import { single } from './topology.ts';

export type LocalStackOptions = {
  env: NodeJS.ProcessEnv;
  log: Log;
  /** Gives up the start at any moment; what had started is stopped in order before the promise rejects. */
  signal?: AbortSignal;
  /** Where the services' folders are; a relative PREQUAL_DATA_DIR is relative to it. */
  repoRoot?: string;
  /** How many processes of each kind; by default one. */
  topology?: Topology;
  onSpawn?: OnSpawn;
};

/** The running system. Disposing stops gateways, scoring, decisioning, NATS and PostgreSQL, in this order. */
export type LocalStack = AsyncDisposable & {
  /** of the first gateway */
  gatewayUrl: string;
  gatewayUrls: readonly string[];
  databaseUrl: string;
  natsUrl: string;
  synthetic: SyntheticResult;
};

/**
 * Starts everything: the servers, the migrations, the three services; sends one synthetic application
 * through them and writes ready.json. Whatever dies later is started again. Throws an Error for people
 * when something cannot start; nothing is left running then.
 */
export async function startLocalStack(options: LocalStackOptions): Promise<LocalStack> {
  const { env, log, signal = new AbortController().signal, topology = single, onSpawn = () => {} } = options;
  const repoRoot = options.repoRoot ?? path.resolve(import.meta.dirname, '../../..');
  const config = readStackConfig(env, repoRoot);
  enableCompileCache(config.compileCacheDir);

  await using stack = new AsyncDisposableStack();
  stack.use(await lockDataFolder(config.dataDir));
  await stopLeftOverServices(config.dataDir, repoRoot, log);
  await removeReadyFile(config.dataDir);
  const services = await planServices(config, topology);
  const ready = readyFileOf(config.dataDir);
  const onRunning = ready.noteProcess;
  const context: StackContext & { repoRoot: string } = {
    config,
    topology,
    credentials: await readCredentials(config.dataDir),
    log,
    onRunning,
    onSpawn,
    repoRoot,
  };

  const [databaseUrls, { urls: natsUrls, streamReplicas }] = await startAll<[DatabaseUrls, Nats]>(stack, signal, [
    (until) => databaseServer(context, until),
    (until) => natsServer(context, env, until),
  ]);

  const syntheticToken = randomBytes(24).toString('base64url');
  const databaseUrl = databaseUrls.owner;
  const natsUrl = natsUrls.operator;
  const envOptions = { env, config, databaseUrls, natsUrls, streamReplicas, syntheticToken };
  const startersOf = (service: ServiceName) =>
    services
      .filter((planned) => planned.service === service)
      .map((planned) => {
        const itsEnv = serviceEnv(service, { ...envOptions, ports: planned.ports });
        return (until: AbortSignal) => supervisedService(context, planned, itsEnv, until);
      });
  // The gateways are the last ones here, so they are the first to stop: nobody submits to a stack that leaves.
  // The services load while the schema is migrated, and wait for it before they serve.
  const addresses = await startAll<string[]>(stack, signal, [
    async (until) => {
      await orAborted(migrateDatabase(databaseUrl, config.databaseTls, log), until);
      return { value: databaseUrl };
    },
    ...startersOf('decisioning'),
    ...startersOf('scoring'),
    ...startersOf('gateway'),
  ]);
  const gatewayUrls = addresses.slice(-topology.services.gateway);
  const [gatewayUrl = ''] = gatewayUrls;
  const synthetic = await sendSynthetic(gatewayUrl, syntheticToken, signal);

  stack.defer(ready.remove);
  await ready.publish({ gatewayUrl, ...(gatewayUrls.length > 1 && { gatewayUrls }), databaseUrl, natsUrl });
  signal.throwIfAborted();
  const running = stack.move();
  return {
    gatewayUrl,
    gatewayUrls,
    databaseUrl,
    natsUrl,
    synthetic,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

async function migrateDatabase(databaseUrl: string, tls: ClientTls | undefined, log: Log): Promise<void> {
  const startedAt = performance.now();
  // Loaded here and not at the top: reading MikroORM takes longer than everything before this line.
  const { migrate } = await import('@prequal/persistence');
  const applied = await migrate({ databaseUrl, tls }).catch((error: Error) => {
    throw new Error(
      `The database could not be migrated: ${error.message || String(error)}. See that the server of DATABASE_URL runs and that its database and user exist.`,
      { cause: error },
    );
  });
  log(
    applied.length > 0
      ? `Migrated the database: ${applied.join(', ')} (${seconds(startedAt)}).`
      : `The database schema is current (${seconds(startedAt)}).`,
  );
}

type Addresses = Omit<ReadyFile, 'pids'>;

// Processes come and go before, while and after the file exists; it is written only in between.
function readyFileOf(dataDir: string) {
  const pids: ReadyFile['pids'] = {};
  let addresses: Addresses | undefined;
  let writing: Promise<void> = Promise.resolve();
  const write = (): Promise<void> => {
    writing = writing
      .catch(() => undefined)
      .then(() => (addresses ? writeReadyFile(dataDir, { ...addresses, pids }) : undefined));
    return writing;
  };
  return {
    noteProcess: (name: keyof ReadyFile['pids'], pid: number): Promise<void> => {
      pids[name] = pid;
      return write();
    },
    publish: (known: Addresses): Promise<void> => {
      addresses = known;
      return write();
    },
    remove: async (): Promise<void> => {
      addresses = undefined;
      await writing.catch(() => undefined);
      await removeReadyFile(dataDir);
    },
  };
}
