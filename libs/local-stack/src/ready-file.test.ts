import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startTime } from './processes.ts';
import type { ReadyFile } from './ready-file.ts';
import { readReadyFile, removeReadyFile, writeReadyFile } from './ready-file.ts';
import { lockDataFolder } from './runner-lock.ts';

let dataDir: string;
beforeEach(async () => {
  dataDir = await mkdtemp(path.join(tmpdir(), 'ready-'));
});
afterEach(() => rm(dataDir, { recursive: true, force: true }));

const content: ReadyFile = {
  gatewayUrl: 'http://127.0.0.1:4000',
  databaseUrl: 'postgres://postgres:secret@127.0.0.1:5555/prequal',
  natsUrl: 'nats://127.0.0.1:4444',
  pids: { gateway: 1, scoring: 2, decisioning: 3 },
};

test('ready.json can be read by its owner only, and is gone when removed', async () => {
  await writeReadyFile(dataDir, content);
  expect(await readReadyFile(dataDir)).toEqual(content);
  expect((await stat(path.join(dataDir, 'ready.json'))).mode & 0o777).toBe(0o600);
  await removeReadyFile(dataDir);
  await removeReadyFile(dataDir);
  expect(await readdir(dataDir)).toEqual([]);
});

test('a reader never sees half of it', async () => {
  await writeReadyFile(dataDir, content);
  const written = (async () => {
    for (let pid = 1; pid <= 200; pid++) await writeReadyFile(dataDir, { ...content, pids: { gateway: pid } });
    return 'done';
  })();
  let seen: unknown;
  while (seen !== 'done') {
    expect(await readReadyFile(dataDir)).toBeDefined();
    seen = await Promise.race([written, Promise.resolve()]);
  }
});

test('a second runner on the same folder is refused while the first one lives', async () => {
  const first = await lockDataFolder(dataDir);
  await expect(lockDataFolder(dataDir)).rejects.toThrow(/already runs on .* PREQUAL_DATA_DIR/);
  await first[Symbol.asyncDispose]();
  await (await lockDataFolder(dataDir))[Symbol.asyncDispose]();
  expect(await readdir(dataDir)).toEqual([]);
});

test('what dead runners left is removed, also when the process id belongs to somebody else now', async () => {
  const dead = spawn(process.execPath, ['-e', '']);
  await once(dead, 'exit');
  await writeFile(path.join(dataDir, `runner-${dead.pid}-123.lock`), '');
  await writeFile(path.join(dataDir, `runner-${process.ppid}-${await startTime(process.ppid)}0.lock`), '');
  await using _lock = await lockDataFolder(dataDir);
  expect(await readdir(dataDir)).toHaveLength(1);
});

test('a living runner of another process is respected', async () => {
  await writeFile(
    path.join(dataDir, `runner-${process.ppid}-${(await startTime(process.ppid)).replace(/\W+/g, '_')}.lock`),
    '',
  );
  await expect(lockDataFolder(dataDir)).rejects.toThrow(`process ${process.ppid}`);
  expect(await readdir(dataDir)).toHaveLength(1);
});

test('of many that want it at once, one gets it', async () => {
  const tries = await Promise.allSettled(Array.from({ length: 20 }, () => lockDataFolder(dataDir)));
  expect(tries.filter((outcome) => outcome.status === 'fulfilled')).toHaveLength(1);
});
