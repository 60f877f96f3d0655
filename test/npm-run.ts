import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ReadyFile, readReadyFile } from '@prequal/local-stack';
import { expect, vi } from 'vitest';

/** `npm run start` or another script as a user types it, in the repository, with a data folder of its own. */
export async function npmRun(script: 'start' | 'start:cluster', dataDir: string) {
  const child = spawn('npm', ['run', script], {
    cwd: join(import.meta.dirname, '..'),
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    env: {
      ...process.env,
      NODE_ENV: 'development',
      PREQUAL_DATA_DIR: dataDir,
      LOG_LEVEL: 'trace',
      GATEWAY_PORT: '0',
      SCORING_PORT: '0',
      DECISIONING_PORT: '0',
    },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  const ready = await vi.waitFor(
    async () => {
      if (child.exitCode !== null) throw new Error(`npm run ${script} ended with ${child.exitCode}:\n${output}`);
      // Said last: until then a ready.json may be that of a crashed run.
      expect(output).toContain('Prequal is ready');
      return readyFileOf(dataDir);
    },
    { timeout: 60_000, interval: 50 },
  );
  return { child, exited, ready, output: () => output };
}

export async function readyFileOf(dataDir: string): Promise<ReadyFile> {
  const ready = await readReadyFile(dataDir);
  if (!ready) throw new Error('not ready yet');
  return ready;
}

export const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

export const alive = (ready: ReadyFile) => Object.values(ready.pids).filter(isAlive);

export async function temporaryDataDir(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'prequal-start-'));
  // As root, PostgreSQL runs as another user, who must be able to enter.
  await chmod(path, 0o755);
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}
