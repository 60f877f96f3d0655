import { createHash, randomUUID } from 'node:crypto';
import { chmod, lstat, mkdir, readFile, realpath, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Log } from './local-server.ts';
import { runCommand } from './processes.ts';

/** The account PostgreSQL runs under, or undefined for our own. */
export type ServerUser = { uid: number; gid: number } | undefined;

/**
 * PostgreSQL refuses to run as root. Root therefore starts it as the user `postgres`, which is created
 * when missing. Throws when that is impossible.
 */
export async function postgresUser(log: Log): Promise<ServerUser> {
  if (process.getuid?.() !== 0) return undefined;
  const existing = await idsOf('postgres');
  if (existing) return existing;
  log('PostgreSQL does not run as root: creating the system user "postgres" for it.');
  const made = await runCommand('useradd', [
    '--system',
    '--user-group',
    '--no-create-home',
    '--shell',
    '/bin/false',
    'postgres',
  ]);
  const created = await idsOf('postgres');
  if (created) return created;
  throw new Error(
    `PostgreSQL does not run as root, and the user "postgres" could not be created (${made.output.trim()}). Start as an ordinary user, or set DATABASE_URL.`,
  );
}

async function idsOf(name: string): Promise<ServerUser> {
  const [uid, gid] = await Promise.all([runCommand('id', ['-u', name]), runCommand('id', ['-g', name])]);
  return uid.ok && gid.ok ? { uid: Number(uid.output), gid: Number(gid.output) } : undefined;
}

/** Can this user enter the folder? Asked by doing it, so that access lists and mounts count as well. */
async function canEnter(user: ServerUser, folder: string): Promise<boolean> {
  if (!user) return true;
  return (await runCommand('/bin/sh', ['-c', 'cd "$1"', 'sh', folder], { user, cwd: '/' })).ok;
}

/**
 * The folder to keep PostgreSQL's state in: the wanted one, or, when the server's user cannot get there
 * (below a 0700 home), one in /var/tmp that belongs to this very folder. Which one is fixed by the real
 * path and by an id kept in the wanted folder: deleting that folder starts afresh, a copy of it never
 * opens the original's database, and a start after a crash finds its data again.
 */
export async function reachableFolder(wanted: string, user: ServerUser, log: Log): Promise<string> {
  await mkdir(wanted, { recursive: true });
  if (await canEnter(user, wanted)) return wanted;
  const idFile = path.join(wanted, 'elsewhere-id');
  await writeFile(idFile, randomUUID(), { flag: 'wx' }).catch(() => undefined); // keeps an existing one
  const place = await ownPlace(`${await realpath(wanted)}\n${await readFile(idFile, 'utf8')}`);
  log(`The user "postgres" cannot reach ${wanted}; the database is kept in ${place} instead.`);
  return place;
}

/** A folder in /var/tmp that only root can write to, the same one for the same key. Throws when it is not ours. */
export async function ownPlace(key: string): Promise<string> {
  const place = path.join('/var/tmp', `prequal-${createHash('sha256').update(key).digest('hex').slice(0, 16)}`);
  await mkdir(place, { mode: 0o755 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  // Everybody may create names in /var/tmp: one planted there must not be trusted by root.
  const found = await lstat(place);
  if (!found.isDirectory() || found.uid !== process.getuid?.()) {
    throw new Error(
      `${place} exists but was not made by this user. Remove it, or set PREQUAL_DATA_DIR to a folder that the user "postgres" can reach.`,
    );
  }
  await chmod(place, 0o755);
  return place;
}
