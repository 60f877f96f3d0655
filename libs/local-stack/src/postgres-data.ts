import { randomBytes, randomUUID } from 'node:crypto';
import { chown, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Log } from './local-server.ts';
import type { PostgresBinaries } from './postgres-binaries.ts';
import type { ServerUser } from './postgres-user.ts';
import { runCommand } from './processes.ts';

const passwordFile = 'prequal-password';
const unfinished = 'initializing-';

/** Only what the programs need: PG… variables of the caller must not steer this server. */
export const serverEnv = { PATH: process.env['PATH'] ?? '', LC_ALL: 'C', TZ: 'UTC' };

/**
 * Makes `<home>/data` with an empty database `prequal` unless it exists. Everything, the password
 * included, is done in a neighbouring folder that is renamed at the end: an interrupted run leaves
 * nothing that the next one could take for a database. Throws with what initdb said.
 */
export async function ensureDataFolder(
  home: string,
  binaries: PostgresBinaries,
  user: ServerUser,
  log: Log,
  signal?: AbortSignal,
): Promise<string> {
  const data = path.join(home, 'data');
  if (await stat(path.join(data, 'PG_VERSION')).catch(() => undefined)) return data;
  log('Creating a new PostgreSQL database.');
  for (const name of await readdir(home)) {
    if (name.startsWith(unfinished)) await rm(path.join(home, name), { recursive: true, force: true });
  }
  const draft = path.join(home, `${unfinished}${randomUUID()}`);
  try {
    await mkdir(draft, { mode: 0o755 });
    if (user) await chown(draft, user.uid, user.gid);
    await initialise(draft, binaries, user, signal);
    await rename(path.join(draft, 'data'), data);
  } finally {
    await rm(draft, { recursive: true, force: true, maxRetries: 5 });
  }
  return data;
}

async function initialise(
  draft: string,
  binaries: PostgresBinaries,
  user: ServerUser,
  signal?: AbortSignal,
): Promise<void> {
  const options = { user, cwd: '/', env: serverEnv, timeoutMs: 120_000, signal };
  const data = path.join(draft, 'data');
  const secret = path.join(draft, passwordFile);
  await writeFile(secret, randomBytes(24).toString('base64url'), { mode: 0o600 });
  if (user) await chown(secret, user.uid, user.gid);
  const made = await runCommand(
    binaries.initdb,
    [
      `--pgdata=${data}`,
      '--username=postgres',
      `--pwfile=${secret}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale=C',
    ],
    options,
  );
  if (!made.ok) throw new Error(`initdb failed: ${lastLines(made.output)}`);
  // Single-user mode needs no client, no port and no password; done once, before anybody can connect.
  const created = await runCommand(binaries.postgres, ['--single', '-D', data, 'postgres'], {
    ...options,
    input: 'CREATE DATABASE prequal\n',
  });
  if (!created.ok || /ERROR|FATAL/.test(created.output))
    throw new Error(`The database could not be created: ${lastLines(created.output)}`);
  await rename(secret, path.join(data, passwordFile));
}

/** The password of the user `postgres` of this data folder. */
export function readPassword(data: string): Promise<string> {
  return readFile(path.join(data, passwordFile), 'utf8');
}

/** The last lines of a log or an output, for an error message. */
export function lastLines(text: string, count = 12): string {
  return text.trim().split('\n').slice(-count).join('\n');
}
