import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, chmod, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

const script = path.resolve(import.meta.dirname, '../../../bin/ensure-installed.mjs');
const lockfile = {
  packages: {
    '': {},
    'node_modules/a': { version: '1.0.0', integrity: 'x' },
    'node_modules/other': { version: '1.0.0', optional: true },
  },
};
let root: string;

beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'ensure-'));
  await mkdir(path.join(root, 'bin'));
  await cp(script, path.join(root, 'bin', 'ensure-installed.mjs'));
  await writeFile(path.join(root, 'package-lock.json'), JSON.stringify(lockfile));
  // An npm that notes how it was called, waits until it may finish, and leaves what npm leaves.
  await mkdir(path.join(root, 'tools'));
  await program(
    path.join(root, 'tools', 'npm'),
    `echo "$@" >> "${root}/calls"; while [ -e "${root}/hold" ]; do sleep 0.02; done
    [ -e "${root}/fail" ] && exit 3
    mkdir -p "${root}/node_modules/.bin"; ln -sf /bin/true "${root}/node_modules/.bin/node"
    cp "${root}/package-lock.json" "${root}/node_modules/.package-lock.json"`,
  );
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function program(file: string, body: string): Promise<void> {
  await writeFile(file, `#!/bin/sh\n${body}\n`);
  await chmod(file, 0o755);
}

function run() {
  const child = spawn(process.execPath, [path.join(root, 'bin', 'ensure-installed.mjs')], {
    env: { PATH: `${root}/node_modules/.bin:${root}/tools:/usr/bin:/bin` },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const done = once(child, 'close').then(([code]) => ({ code: code as number, output }));
  return { child, done, output: () => output };
}

const calls = async () =>
  (await readFile(path.join(root, 'calls'), 'utf8').catch(() => '')).split('\n').filter(Boolean);

test('missing packages are installed once, with their install scripts', async () => {
  expect((await run().done).code).toBe(0);
  expect((await run().done).output).toBe('');
  expect(await calls()).toEqual(['ci --no-audit --no-fund --loglevel=error']);
});

test('a changed package-lock.json installs again', async () => {
  await run().done;
  lockfile.packages['node_modules/a'].version = '1.0.1';
  await writeFile(path.join(root, 'package-lock.json'), JSON.stringify(lockfile));
  await run().done;
  expect(await calls()).toHaveLength(2);
});

test('an installation without its install scripts, or one that was interrupted, is repaired', async () => {
  await run().done;
  await rm(path.join(root, 'node_modules', '.bin', 'node'));
  await run().done;
  await rm(path.join(root, 'node_modules', '.package-lock.json'));
  await run().done;
  expect(await calls()).toHaveLength(3);
});

test('two at the same time install once: the second one waits for the first', async () => {
  await writeFile(path.join(root, 'hold'), '');
  const first = run();
  await vi.waitUntil(async () => (await calls()).length === 1, { timeout: 10_000 });
  const second = run();
  await vi.waitUntil(() => second.output().includes('waiting'), { timeout: 10_000 });
  await rm(path.join(root, 'hold'));
  expect((await first.done).code).toBe(0);
  expect((await second.done).code).toBe(0);
  expect(await calls()).toHaveLength(1);
});

test('the lock of a killed process does not block', async () => {
  await mkdir(path.join(root, '.data'));
  const dead = spawn(process.execPath, ['-e', '']);
  await once(dead, 'exit');
  await writeFile(path.join(root, '.data', 'install.lock'), String(dead.pid));
  expect((await run().done).code).toBe(0);
  await expect(access(path.join(root, '.data', 'install.lock'))).rejects.toThrow();
});

test('a failed installation ends with the exit code of npm and says so', async () => {
  await writeFile(path.join(root, 'fail'), '');
  const { code, output } = await run().done;
  expect(code).toBe(3);
  expect(output).toContain('"npm ci" failed');
});
