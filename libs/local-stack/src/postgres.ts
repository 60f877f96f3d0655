import { spawn } from 'node:child_process';
import { open, readFile, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { LocalServer, Log, OnSpawn } from './local-server.ts';
import { rememberedPort, requireFreePort } from './ports.ts';
import { postgresBinaries } from './postgres-binaries.ts';
import { ensureDataFolder, lastLines, readPassword, serverEnv } from './postgres-data.ts';
import { settingFlags } from './postgres-settings.ts';
import type { ServerUser } from './postgres-user.ts';
import { postgresUser, reachableFolder } from './postgres-user.ts';
import { commandLine, exitOf, isAlive, stopProcess } from './processes.ts';

export type PostgresOptions = {
  /** Folder for the data, the password and the log; made when missing. */
  dataDir: string;
  /** 0: any free port, the same as last time when possible. */
  port: number;
  log?: Log;
  signal?: AbortSignal | undefined;
  onSpawn?: OnSpawn;
};

const readyTimeoutMs = 60_000; // replaying the log of a crashed server takes its time
const previousServerTimeoutMs = 10_000;
const maxLogBytes = 10_000_000;

// Fast shutdown, then immediate (recovers at the next start), then what nothing survives.
const stopSteps = [
  { signal: 'SIGINT', waitMs: 8_000 },
  { signal: 'SIGQUIT', waitMs: 5_000 },
  { signal: 'SIGKILL', waitMs: 5_000 },
] as const;

/**
 * Starts PostgreSQL on 127.0.0.1 and returns once it accepts connections; the first start makes the
 * database `prequal`. A server that a crashed run left on the same folder is stopped first. Started by
 * root, it runs as the user `postgres`; when that user cannot enter `dataDir`, the state is kept in a
 * folder below /var/tmp instead. Throws an Error for people with the last lines of its log when it does
 * not start.
 */
export async function startPostgres(options: PostgresOptions): Promise<LocalServer> {
  const { dataDir, port, log = () => {}, signal, onSpawn } = options;
  const user = await postgresUser(log);
  const [home, binaries] = await Promise.all([
    reachableFolder(path.resolve(dataDir), user, log),
    postgresBinaries(user, log),
  ]);
  const data = await ensureDataFolder(home, binaries, user, log, signal);
  await stopLeftOver(data, log);
  signal?.throwIfAborted();
  if (port !== 0) await requireFreePort(port, 'POSTGRES_PORT');
  const {
    pid,
    exited,
    port: chosen,
  } = await startServer({
    postgres: binaries.postgres,
    data,
    choosePort: () => (port === 0 ? rememberedPort(path.join(home, 'port')) : Promise.resolve(port)),
    anyPort: port === 0,
    user,
    logFile: path.join(home, 'postgres.log'),
    signal,
    onSpawn,
  });
  return {
    url: `postgres://postgres:${await readPassword(data)}@127.0.0.1:${chosen}/prequal`,
    pid,
    port: chosen,
    exited,
    [Symbol.asyncDispose]: () => stopProcess(pid, [...stopSteps], exited),
  };
}

type Started = { pid: number; exited: Promise<string>; port: number };
type Launch = {
  postgres: string;
  data: string;
  choosePort: () => Promise<number>;
  anyPort: boolean;
  user: ServerUser;
  logFile: string;
  signal: AbortSignal | undefined;
  onSpawn: OnSpawn | undefined;
};

async function startServer(launch: Launch): Promise<Started> {
  const { data, logFile, signal } = launch;
  const giveUpAt = Date.now() + previousServerTimeoutMs;
  for (;;) {
    const server = await spawnServer(launch);
    const outcome = await untilReady(server, data, signal);
    if (outcome === 'ready') return server;
    await stopProcess(server.pid, [...stopSteps], server.exited);
    signal?.throwIfAborted();
    const said = lastLines(await readFile(logFile, 'utf8').catch(() => ''));
    // The postmaster was killed and its children are still leaving: they do so by themselves.
    const childrenLeft = /pre-existing shared memory block/.test(said);
    // Somebody took the free port between our look and the start.
    const portLost = launch.anyPort && /could not bind/.test(said);
    if ((childrenLeft || portLost) && Date.now() < giveUpAt) {
      await delay(100, undefined, { signal });
      continue;
    }
    throw new Error(`PostgreSQL did not start (${outcome}). The end of ${logFile}:\n${said}`);
  }
}

async function spawnServer({ postgres, data, choosePort, user, logFile, onSpawn }: Launch): Promise<Started> {
  const port = await choosePort();
  const size = (await stat(logFile).catch(() => undefined))?.size ?? 0;
  // A file instead of a pipe: when this process is killed, the server's writes must not begin to fail.
  await using output = await open(logFile, size > maxLogBytes ? 'w' : 'a', 0o600);
  const child = spawn(postgres, ['-D', data, '-p', String(port), ...settingFlags], {
    ...user,
    cwd: '/',
    env: serverEnv,
    // Its own process group: Ctrl-C in the terminal reaches only us, and the services stop first.
    detached: true,
    stdio: ['ignore', output.fd, output.fd],
  });
  const exited = exitOf(child);
  if (child.pid === undefined) throw new Error(`PostgreSQL could not be started: ${await exited}`);
  onSpawn?.(child.pid, exited);
  return { pid: child.pid, exited, port };
}

// The server writes its state into postmaster.pid (line 1 its process id, line 8 "ready"): the same
// sign that pg_ctl waits for.
async function untilReady({ pid, exited }: Started, data: string, signal?: AbortSignal): Promise<string> {
  let gone: string | undefined;
  void exited.then((reason) => (gone = reason));
  for (const deadline = Date.now() + readyTimeoutMs; Date.now() < deadline; await delay(20)) {
    if (gone !== undefined) return gone;
    if (signal?.aborted) return 'cancelled';
    const lines = (await readFile(path.join(data, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n');
    if (Number(lines[0]) === pid && lines[7]?.trim() === 'ready') return 'ready';
  }
  return `not ready after ${readyTimeoutMs / 1000} s`;
}

async function stopLeftOver(data: string, log: Log): Promise<void> {
  const pidFile = path.join(data, 'postmaster.pid');
  const pid = Number.parseInt(await readFile(pidFile, 'utf8').catch(() => ''), 10);
  // Ids are reused: only a process whose command line names this folder is that server.
  if (pid > 0 && isAlive(pid) && (await commandLine(pid)).includes(data)) {
    log(`Stopping the PostgreSQL (process ${pid}) that an earlier run left behind.`);
    await stopProcess(pid, [{ signal: 'SIGINT', waitMs: 5_000 }, ...stopSteps.slice(1)]);
  }
  // PostgreSQL itself believes any process with that id, even a zombie, and would refuse to start. Its
  // second guard, the shared memory of children that still run, does not need the file.
  await rm(pidFile, { force: true });
}
