import path from 'node:path';
import type { StackConfig } from './config.ts';
import { findNatsServer } from './find-nats-server.ts';
import type { Log, OnSpawn } from './local-server.ts';
import { requireNats, startNatsServer } from './nats-server.ts';
import { startPostgres } from './postgres.ts';
import type { Started } from './start-all.ts';
import { supervise } from './supervise.ts';

type ProcessNames = 'gateway' | 'scoring' | 'decisioning' | 'postgres' | 'nats';

/** What starting one part of the stack needs besides its own options. */
export type StackContext = {
  config: StackConfig;
  log: Log;
  /** A process runs (again) and can be used: its id belongs into ready.json. */
  onRunning: (name: ProcessNames, pid: number) => void | Promise<void>;
  onSpawn: OnSpawn;
};

/** The database to use: DATABASE_URL, or an embedded PostgreSQL that is kept alive. */
export async function databaseServer(
  { config, log, onRunning, onSpawn }: StackContext,
  signal: AbortSignal,
): Promise<Started<string>> {
  if (config.databaseUrl) return { value: config.databaseUrl };
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
  return { value: first.url, resource };
}

/** The NATS to use: NATS_URL, or an embedded nats-server that is kept alive. */
export async function natsServer(
  { config, log, onRunning, onSpawn }: StackContext,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<Started<string>> {
  if (config.natsUrl) {
    await requireNats(config.natsUrl, signal);
    return { value: config.natsUrl };
  }
  const { binary } = await findNatsServer({ cacheDir: path.join(config.dataDir, 'cache'), env, log, signal });
  const startedAt = performance.now();
  const options = { binary, storeDir: path.join(config.dataDir, 'nats'), log, onSpawn };
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
  return { value: first.url, resource };
}

/** Time since then, for people: "1.9 s". */
export function seconds(startedAt: number): string {
  return `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;
}
