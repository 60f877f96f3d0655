import { access, mkdir, readdir } from 'node:fs/promises';
import path from 'node:path';
import type { Log } from './local-server.ts';
import { runCommand } from './processes.ts';

export type UnpackOptions = { env: NodeJS.ProcessEnv; log: Log; signal?: AbortSignal | undefined };

/**
 * On Debian and Ubuntu: downloads the distribution's package nats-server and unpacks it into the folder,
 * without installing anything, so that it also works without root. Returns the path of the program.
 * Throws with one sentence that says what failed.
 */
export async function unpackDistributionPackage(folder: string, { env, log, signal }: UnpackOptions): Promise<string> {
  const run = (command: string, args: string[], timeoutMs = 120_000) =>
    runCommand(command, args, { cwd: folder, env, timeoutMs, signal });
  if (!(await run('apt-get', ['--version'])).ok || !(await run('dpkg-deb', ['--version'])).ok) {
    throw new Error('This system has no apt-get and dpkg-deb, so there is no Debian package to unpack.');
  }
  log('Fetching the package nats-server of this distribution (an older version, good enough for development).');
  let downloaded = await run('apt-get', ['download', 'nats-server']);
  signal?.throwIfAborted();
  // Without lists, or with old ones, the package is not found; only root may refresh them.
  if (!downloaded.ok && process.getuid?.() === 0) {
    log('Refreshing the package lists (apt-get update).');
    await run('apt-get', ['update'], 180_000);
    downloaded = await run('apt-get', ['download', 'nats-server']);
  }
  const archive = (await readdir(folder)).find((name) => name.endsWith('.deb'));
  if (!downloaded.ok || !archive)
    throw new Error(`apt-get could not download the package nats-server: ${lastLine(downloaded.output)}`);
  const root = path.join(folder, 'package');
  await mkdir(root);
  const unpacked = await run('dpkg-deb', ['-x', archive, root]);
  if (!unpacked.ok) throw new Error(`The package ${archive} could not be unpacked: ${lastLine(unpacked.output)}`);
  for (const place of ['usr/sbin', 'usr/bin']) {
    const binary = path.join(root, place, 'nats-server');
    if (
      await access(binary).then(
        () => true,
        () => false,
      )
    )
      return binary;
  }
  throw new Error(`The package ${archive} contains no nats-server.`);
}

function lastLine(output: string): string {
  return output.trim().split('\n').at(-1) || 'no reason given';
}
