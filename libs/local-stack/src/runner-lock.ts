import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { startTime } from './processes.ts';

const pattern = /^runner-(\d+)-(\w+)\.lock$/;

/**
 * Makes this process the only runner of the data folder until disposed. Throws an Error for people when
 * another one is alive; what dead ones left is removed. When two start at the very same moment, at most
 * one goes on.
 *
 * Everybody puts up an own file named after the process (its id and when it began, since ids are reused)
 * and then looks for others. Unlike with one common file, a dead one can be removed without the danger
 * of removing that of somebody who has just taken its place.
 */
export async function lockDataFolder(dataDir: string): Promise<AsyncDisposable> {
  await mkdir(dataDir, { recursive: true });
  const own = `runner-${process.pid}-${await beganAt(process.pid)}.lock`;
  const file = path.join(dataDir, own);
  await writeFile(file, '', { flag: 'wx' }).catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'EEXIST' ? alreadyRuns(process.pid, dataDir) : error;
  });
  const lock = { [Symbol.asyncDispose]: () => rm(file, { force: true }) };
  for (const name of await readdir(dataDir)) {
    const [, pid = '', began = ''] = pattern.exec(name) ?? [];
    if (pid === '' || name === own) continue;
    if ((await beganAt(Number(pid))) === began) {
      await lock[Symbol.asyncDispose]();
      throw alreadyRuns(Number(pid), dataDir);
    }
    await rm(path.join(dataDir, name), { force: true });
  }
  return lock;
}

async function beganAt(pid: number): Promise<string> {
  return (await startTime(pid)).replace(/\W+/g, '_') || 'gone';
}

function alreadyRuns(pid: number, dataDir: string): Error {
  return new Error(
    `Another "npm start" (process ${pid}) already runs on ${dataDir}. Stop it first, or set PREQUAL_DATA_DIR to another folder (and GATEWAY_PORT, SCORING_PORT, DECISIONING_PORT to other ports).`,
  );
}
