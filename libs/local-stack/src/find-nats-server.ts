import { access, constants, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { downloadRelease } from './download-nats-server.ts';
import type { Log } from './local-server.ts';
import { natsServerVersion } from './nats-configuration.ts';
import type { NatsRelease } from './nats-release.ts';
import { pinnedRelease } from './nats-release.ts';
import { unpackDistributionPackage } from './unpack-distribution-package.ts';

export type FindOptions = {
  /** Where a fetched nats-server is kept for the next time; made when needed. */
  cacheDir: string;
  /** NATS_SERVER_BIN and PATH are read from here. */
  env: NodeJS.ProcessEnv;
  log?: Log;
  release?: NatsRelease;
  connectTimeoutMs?: number;
  signal?: AbortSignal | undefined;
};

export type FoundNatsServer = { binary: string; version: string };

/**
 * Finds a nats-server that runs here: NATS_SERVER_BIN, then PATH, then the data folder's cache, then the
 * pinned official release, then the package of Debian or Ubuntu. Throws one Error that lists what was
 * tried and what to do. A NATS_SERVER_BIN that does not run is an error at once: it was asked for.
 */
export async function findNatsServer(options: FindOptions): Promise<FoundNatsServer> {
  const { env, log = () => {}, release = pinnedRelease, signal } = options;
  const named = env['NATS_SERVER_BIN'];
  if (named) {
    const version = await natsServerVersion(named).catch((error: Error) => {
      throw new Error(`NATS_SERVER_BIN cannot be used. ${error.message}`);
    });
    return found(log, named, version, 'from NATS_SERVER_BIN');
  }
  const tried: string[] = [];
  const give = (sentence: string): void => {
    tried.push(sentence);
    log(sentence);
  };
  for (const binary of await onPath(env)) {
    const version = await natsServerVersion(binary).catch((error: Error) => give(error.message));
    if (version) return found(log, binary, version, 'from PATH');
  }
  if (tried.length === 0) give('There is no nats-server on PATH.');

  const cache = path.resolve(options.cacheDir);
  const cached = path.join(cache, program);
  if (await isFile(cached)) {
    const version = await natsServerVersion(cached).catch((error: Error) =>
      give(`The cached copy is broken. ${error.message}`),
    );
    if (version) return found(log, cached, version, 'from the cache');
  }
  const connectTimeoutMs = options.connectTimeoutMs ?? 10_000;
  const sources = [
    (folder: string) => downloadRelease(folder, { release, log, connectTimeoutMs, signal }),
    (folder: string) => unpackDistributionPackage(folder, { env, log, signal }),
  ];
  for (const fetchInto of sources) {
    const outcome = await install(cache, cached, fetchInto).catch((error: Error) => {
      signal?.throwIfAborted();
      give(error.message);
    });
    if (outcome) return found(log, cached, outcome, 'kept in the cache for the next time');
  }
  throw new Error(
    `No nats-server was found, and none could be fetched:\n${tried.map((line) => `  - ${line}`).join('\n')}\n` +
      'Install nats-server (https://github.com/nats-io/nats-server/releases, "brew install nats-server", "apt install nats-server") ' +
      'so that it is on PATH, or set NATS_SERVER_BIN to its path, or set NATS_URL to a running server with JetStream.',
  );
}

const program = process.platform === 'win32' ? 'nats-server.exe' : 'nats-server';

function found(log: Log, binary: string, version: string, where: string): FoundNatsServer {
  log(`Using nats-server ${version}, ${where} (${binary}).`);
  return { binary, version };
}

async function onPath(env: NodeJS.ProcessEnv): Promise<string[]> {
  const candidates = (env['PATH'] ?? '')
    .split(path.delimiter)
    .filter(Boolean)
    .map((folder) => path.join(folder, program));
  const usable: string[] = [];
  for (const candidate of candidates) {
    if (
      await access(candidate, constants.X_OK).then(
        () => true,
        () => false,
      )
    )
      usable.push(candidate);
  }
  return usable;
}

function isFile(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}

// Made in a folder of its own, run once, and only then renamed to its place: what lies in the cache is
// whole even when a download was interrupted or two processes did it at the same time.
async function install(cache: string, target: string, fetchInto: (folder: string) => Promise<string>): Promise<string> {
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(path.join(cache, 'fetching-'));
  try {
    const binary = await fetchInto(folder);
    const version = await natsServerVersion(binary);
    await rename(binary, target);
    return version;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
