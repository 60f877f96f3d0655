import type { ServiceInstance, ServicePorts, StackConfig } from './config.ts';
import type { Log } from './local-server.ts';
import { commandLine, isAlive, stopProcess } from './processes.ts';
import { readReadyFile } from './ready-file.ts';
import type { ServiceProcess } from './service-process.ts';
import { serviceEntry, startService, untilServiceReady } from './service-process.ts';
import type { DatabaseUrls, NatsUrls, StackContext } from './stack-servers.ts';
import { seconds } from './stack-servers.ts';
import type { Started } from './start-all.ts';
import { supervise } from './supervise.ts';
import type { ServiceName } from './topology.ts';
import { serviceOf } from './topology.ts';

export type ServiceEnvOptions = {
  env: NodeJS.ProcessEnv;
  config: StackConfig;
  ports: ServicePorts;
  databaseUrls: Pick<DatabaseUrls, 'gateway' | 'decisioning'>;
  natsUrls: Pick<NatsUrls, ServiceName>;
  /** used unless our own environment says how many */
  streamReplicas?: string | undefined;
  syntheticToken: string;
};

/** What a service has no business with, even when our own environment holds it. */
const withheld: Record<ServiceName, readonly string[]> = {
  gateway: ['BUREAU_TOKEN'],
  scoring: ['DATABASE_URL', 'DATABASE_TLS_CERT_FILE', 'DATABASE_TLS_KEY_FILE', 'PAN_INDEX_KEYS'],
  decisioning: ['PAN_ENCRYPTION_KEYS', 'PAN_INDEX_KEYS', 'BUREAU_TOKEN'],
};

/** The environment of one service. Only the gateway learns what marks an application as synthetic. */
export function serviceEnv(name: ServiceName, options: ServiceEnvOptions): NodeJS.ProcessEnv {
  const { env, config, ports, databaseUrls, natsUrls, streamReplicas, syntheticToken } = options;
  const all = {
    ...env,
    ...(name === 'gateway' && { SYNTHETIC_TOKEN: syntheticToken }),
    ...(name !== 'scoring' && { DATABASE_URL: databaseUrls[name] }),
    NATS_URL: natsUrls[name],
    ...(streamReplicas && !env['STREAM_REPLICAS'] && { STREAM_REPLICAS: streamReplicas }),
    PREQUAL_DATA_DIR: config.dataDir,
    LOG_LEVEL: config.logLevel,
    NODE_COMPILE_CACHE: config.compileCacheDir,
    GATEWAY_HOST: config.gatewayHost,
    GATEWAY_PORT: String(ports.gateway),
    SCORING_PORT: String(ports.scoring),
    DECISIONING_PORT: String(ports.decisioning),
  };
  const isWithheld = (variable: string) => withheld[name].includes(variable) || /_(DATABASE|NATS)_URL$/.test(variable);
  return Object.fromEntries(Object.entries(all).filter(([variable]) => !isWithheld(variable)));
}

/** Starts one service, waits until it is ready and keeps it alive. The value is its address. */
export async function supervisedService(
  context: StackContext & { repoRoot: string },
  { name, service }: Pick<ServiceInstance, 'name' | 'service'>,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<Started<string>> {
  const { repoRoot, log, onRunning, onSpawn } = context;
  const startedAt = performance.now();
  const launch = (until: AbortSignal) => startService({ name, service, repoRoot, env, signal: until, onSpawn });
  const first = await launch(signal);
  const notReady = await orStopped(first, signal);
  if (notReady !== undefined) {
    await first[Symbol.asyncDispose]();
    throw new Error(`The service ${name} did not become ready in time (${notReady}). Its log tells why.`);
  }
  await onRunning(name, first.pid);
  log(`${name} is ready at ${first.address} (${seconds(startedAt)}).`);
  const resource = supervise({
    name,
    first,
    start: async (until) => {
      const again = await launch(until);
      // Not ready is no reason to kill it now: it may be waiting for a server that is away itself.
      const waiting = await orStopped(again, until);
      if (waiting !== undefined) log(`${name} runs again but is not ready yet (${waiting}).`);
      return again;
    },
    onRestart: ({ pid }) => onRunning(name, pid),
    log,
  });
  return { value: first.address, resource };
}

async function orStopped(service: ServiceProcess, signal: AbortSignal): Promise<string | undefined> {
  try {
    return await untilServiceReady(service, { signal });
  } catch (error) {
    await service[Symbol.asyncDispose]();
    throw error;
  }
}

/**
 * Stops services of a crashed runner that are still finishing their work: they would keep the ports.
 * Only processes that its ready.json names and whose command line is that of the service.
 */
export async function stopLeftOverServices(dataDir: string, repoRoot: string, log: Log): Promise<void> {
  const { pids = {} } = (await readReadyFile(dataDir)) ?? {};
  for (const [name, pid] of Object.entries(pids)) {
    const service = serviceOf(name);
    if (!service || !pid || !isAlive(pid)) continue;
    if (!(await commandLine(pid)).includes(serviceEntry(repoRoot, service))) continue;
    log(`Stopping the ${name} (process ${pid}) that an earlier run left behind.`);
    await stopProcess(pid, [
      { signal: 'SIGTERM', waitMs: 12_000 },
      { signal: 'SIGKILL', waitMs: 5_000 },
    ]);
  }
}
