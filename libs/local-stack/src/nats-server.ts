import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chmod, mkdir, open, readFile, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { LocalServer, Log, OnSpawn } from './local-server.ts';
import type { ClusterRoutes } from './nats-configuration.ts';
import { configuration, natsServerVersion } from './nats-configuration.ts';
import type { NatsServerUser } from './nats-users.ts';
import { rememberedPort, requireFreePort } from './ports.ts';
import { lastLines } from './postgres-data.ts';
import { commandLine, exitOf, isAlive, stopProcess } from './processes.ts';

export type NatsServerOptions = {
  /** Path of a nats-server program. */
  binary: string;
  /** Folder for the configuration, the streams, the log and the process id; made when missing. */
  storeDir: string;
  /** 0: any free port, the same as last time when possible. */
  port: number;
  /** A server of a cluster; without it it stands alone. */
  routes?: ClusterRoutes;
  /** Who may connect, and what each may do; without it everybody may do anything. */
  users?: readonly NatsServerUser[];
  log?: Log;
  signal?: AbortSignal | undefined;
  onSpawn?: OnSpawn;
};

const readyTimeoutMs = 30_000;
const maxLogBytes = 10_000_000;
const stopSteps = [
  { signal: 'SIGTERM', waitMs: 8_000 },
  { signal: 'SIGKILL', waitMs: 5_000 },
] as const;

export type NatsServer = LocalServer & {
  version: string;
  /** The server's name, the same at each start on this folder: in a cluster others know it by that. */
  name: string;
  /** The server's monitoring pages, e.g. `<monitorUrl>/connz`. */
  monitorUrl: string;
};

const attempts = 3;

/**
 * Starts nats-server with JetStream on 127.0.0.1 and returns once it greets clients. A server that a
 * crashed run left on the same folder is stopped first. Throws an Error for people when the port is
 * occupied or with the last lines of its log when it does not start.
 */
export async function startNatsServer(options: NatsServerOptions): Promise<NatsServer> {
  const { storeDir, port, log = () => {}, signal } = options;
  const folder = path.resolve(storeDir);
  await mkdir(folder, { recursive: true });
  const version = await natsServerVersion(options.binary);
  await stopLeftOver(folder, log);
  signal?.throwIfAborted();
  if (port !== 0) await requireFreePort(port, 'NATS_PORT');
  for (let attempt = 1; ; attempt++) {
    const outcome = await launch(folder, version, options);
    if (typeof outcome !== 'string') return outcome;
    signal?.throwIfAborted();
    const said = lastLines(await readFile(logFileIn(folder), 'utf8').catch(() => ''));
    // Somebody took the free port between our look and the start.
    if (port === 0 && attempt < attempts && /address already in use/.test(said)) continue;
    throw new Error(`nats-server did not start (${outcome}). The end of ${logFileIn(folder)}:\n${said}`);
  }
}

async function launch(
  folder: string,
  version: string,
  { binary, port: wanted, routes, users, signal, onSpawn }: NatsServerOptions,
): Promise<NatsServer | string> {
  const promised = routes?.all ?? [];
  const port = wanted === 0 ? await rememberedPort(path.join(folder, 'port'), promised) : wanted;
  const monitorPort = await rememberedPort(path.join(folder, 'monitor-port'), [port, ...promised]);
  const name = await rememberedName(path.join(folder, 'server-name'));
  const text = configuration({ folder, name, port, monitorPort, version, routes, users });
  // It holds passwords, and may be there from an earlier start.
  await writeFile(configFileIn(folder), text, { mode: 0o600 });
  await chmod(configFileIn(folder), 0o600);
  const { pid, exited } = await spawnServer(binary, configFileIn(folder), logFileIn(folder));
  onSpawn?.(pid, exited);
  const stop = () => stopProcess(pid, [...stopSteps], exited);
  const outcome = await untilReady(port, name, exited, signal);
  if (outcome !== 'ready') {
    await stop();
    return outcome;
  }
  return {
    url: `nats://127.0.0.1:${port}`,
    monitorUrl: `http://127.0.0.1:${monitorPort}`,
    pid,
    port,
    version,
    name,
    exited,
    [Symbol.asyncDispose]: stop,
  };
}

/** Unique, so that a greeting with it can only come from the server of this folder. */
async function rememberedName(file: string): Promise<string> {
  const known = (await readFile(file, 'utf8').catch(() => '')).trim();
  if (/^prequal-[0-9a-f-]{36}$/.test(known)) return known;
  const name = `prequal-${randomUUID()}`;
  await writeFile(file, `${name}\n`);
  return name;
}

const configFileIn = (folder: string) => path.join(folder, 'nats-server.conf');
const logFileIn = (folder: string) => path.join(folder, 'nats-server.log');

async function spawnServer(
  binary: string,
  configFile: string,
  logFile: string,
): Promise<{ pid: number; exited: Promise<string> }> {
  const size = (await stat(logFile).catch(() => undefined))?.size ?? 0;
  await using output = await open(logFile, size > maxLogBytes ? 'w' : 'a', 0o600);
  // Its own process group and a log file of its own, for the same reasons as PostgreSQL. It shares the machine with all
  // the others: threads of it that look for work on every processor take time from them.
  const child = spawn(binary, ['-c', configFile], {
    env: { GOMAXPROCS: String(Math.max(1, Math.floor(availableParallelism() / 2))), ...process.env },
    detached: true,
    stdio: ['ignore', output.fd, output.fd],
  });
  const exited = exitOf(child);
  if (child.pid === undefined) throw new Error(`nats-server could not be started: ${await exited}`);
  return { pid: child.pid, exited };
}

async function untilReady(
  port: number,
  name: string,
  exited: Promise<string>,
  signal: AbortSignal | undefined,
): Promise<string> {
  let gone: string | undefined;
  void exited.then((reason) => (gone = reason));
  for (const deadline = Date.now() + readyTimeoutMs; Date.now() < deadline; await delay(20)) {
    if (gone !== undefined) return gone;
    if (signal?.aborted) return 'cancelled';
    if ((await greeting(port, '127.0.0.1'))?.includes(name)) return 'ready';
  }
  return `not ready after ${readyTimeoutMs / 1000} s`;
}

/** Throws an Error for people when none of the servers of NATS_URL answers within 5 s. */
export async function requireNats(natsUrl: string, signal: AbortSignal): Promise<void> {
  const servers = natsUrl.split(',').map((server) => new URL(server.trim()));
  for (const deadline = Date.now() + 5_000; Date.now() < deadline; await delay(200, undefined, { signal })) {
    for (const { hostname, port } of servers) if (await greeting(Number(port || 4222), hostname)) return;
  }
  const hosts = servers.map(({ host }) => host).join(', ');
  throw new Error(
    `NATS does not answer at ${hosts}. Start it or correct NATS_URL; without NATS_URL a server of our own is started.`,
  );
}

/** What a NATS server says first. It carries the server's name: one that took the port meanwhile is not ours. */
function greeting(port: number, host: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ port, host, timeout: 1_000 });
    const answer = (text?: string): void => {
      socket.destroy();
      resolve(text?.startsWith('INFO {') ? text : undefined);
    };
    socket.once('data', (chunk) => answer(chunk.toString()));
    for (const event of ['error', 'timeout', 'close']) socket.once(event, () => answer());
  });
}

async function stopLeftOver(folder: string, log: Log): Promise<void> {
  const pid = Number.parseInt(await readFile(path.join(folder, 'nats-server.pid'), 'utf8').catch(() => ''), 10);
  if (!(pid > 0) || !isAlive(pid) || !(await commandLine(pid)).includes(configFileIn(folder))) return;
  log(`Stopping the nats-server (process ${pid}) that an earlier run left behind.`);
  await stopProcess(pid, [...stopSteps]);
}
