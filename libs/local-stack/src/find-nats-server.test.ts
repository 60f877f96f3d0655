import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findNatsServer } from './find-nats-server.ts';
import type { NatsRelease } from './nats-release.ts';
import { natsPlatform, pinnedRelease } from './nats-release.ts';
import { freePort } from './ports.ts';
import { runCommand } from './processes.ts';

let folder: string;
let said: string[];
let unreachable: NatsRelease;
const log = (sentence: string): void => void said.push(sentence);

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'find-nats-'));
  said = [];
  unreachable = {
    version: '9.9.9',
    baseUrl: `http://127.0.0.1:${await freePort()}`,
    sha256: { [natsPlatform()]: '00' },
  };
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function script(file: string, body: string): Promise<string> {
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, `#!/bin/sh\n${body}\n`);
  await chmod(file, 0o755);
  return file;
}

const nats = (file: string, version: string) => script(path.join(folder, file), `echo "nats-server: v${version}"`);
const cacheDir = () => path.join(folder, 'cache');
const env = (extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({ PATH: path.join(folder, 'path'), ...extra });

/** A release archive as NATS makes them, served from this machine. */
async function serveRelease(version: string, sha256?: string): Promise<NatsRelease & AsyncDisposable> {
  const name = `nats-server-v${version}-${natsPlatform()}`;
  await nats(`release/${name}/nats-server`, version);
  const archive = path.join(folder, 'release.tar.gz');
  await runCommand('tar', ['-czf', archive, '-C', path.join(folder, 'release'), name]);
  const bytes = await readFile(archive);
  const server = createServer((request, response) => {
    response.writeHead(request.url === `/${name}.tar.gz` ? 200 : 404).end(bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    version,
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sha256: { [natsPlatform()]: sha256 ?? createHash('sha256').update(bytes).digest('hex') },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test('NATS_SERVER_BIN wins over everything else', async () => {
  const binary = await nats('named/nats-server', '2.11.0');
  await nats('path/nats-server', '2.9.10');
  expect(await findNatsServer({ cacheDir: cacheDir(), env: env({ NATS_SERVER_BIN: binary }), log })).toEqual({
    binary,
    version: '2.11.0',
  });
});

test('a NATS_SERVER_BIN that does not run is an error, not a reason to take another one', async () => {
  await nats('path/nats-server', '2.9.10');
  const wanted = env({ NATS_SERVER_BIN: path.join(folder, 'absent') });
  await expect(findNatsServer({ cacheDir: cacheDir(), env: wanted, log })).rejects.toThrow(
    /NATS_SERVER_BIN cannot be used/,
  );
});

test('the one on PATH is taken, a file there that does not run is passed over', async () => {
  await script(path.join(folder, 'broken', 'nats-server'), 'exit 1');
  const binary = await nats('path/nats-server', '2.9.10');
  const PATH = `${path.join(folder, 'broken')}:${path.join(folder, 'path')}`;
  expect(await findNatsServer({ cacheDir: cacheDir(), env: { PATH }, log })).toEqual({ binary, version: '2.9.10' });
});

test('without one on PATH, the release is downloaded, verified and found in the cache the next time', async () => {
  const cached = path.join(cacheDir(), 'nats-server');
  {
    await using release = await serveRelease('2.12.15');
    expect(await findNatsServer({ cacheDir: cacheDir(), env: env(), log, release })).toEqual({
      binary: cached,
      version: '2.12.15',
    });
  }
  expect(await findNatsServer({ cacheDir: cacheDir(), env: env(), log, release: unreachable })).toEqual({
    binary: cached,
    version: '2.12.15',
  });
  expect(await readdir(cacheDir())).toEqual(['nats-server']);
});

test('a broken file in the cache is replaced', async () => {
  const cached = path.join(cacheDir(), 'nats-server');
  await mkdir(path.dirname(cached), { recursive: true });
  await writeFile(cached, 'half a download');
  await using release = await serveRelease('2.12.15');
  expect((await findNatsServer({ cacheDir: cacheDir(), env: env(), log, release })).version).toBe('2.12.15');
  expect(said.join('\n')).toMatch(/cached copy is broken/);
});

test('a download with another checksum is refused and never run', async () => {
  await using release = await serveRelease('2.12.15', 'f'.repeat(64));
  await expect(findNatsServer({ cacheDir: cacheDir(), env: env(), log, release })).rejects.toThrow(
    /refused: its SHA-256 is [0-9a-f]{64}, not the pinned f{64}/,
  );
  expect(await readdir(cacheDir())).toEqual([]);
});

test('when the release cannot be reached, the package of the distribution is unpacked', async () => {
  await script(
    path.join(folder, 'path', 'apt-get'),
    '[ "$1" = download ] && echo package > nats-server_1_amd64.deb; exit 0',
  );
  await script(
    path.join(folder, 'path', 'dpkg-deb'),
    '[ "$1" = -x ] || exit 0\n/bin/mkdir -p "$3/usr/sbin"\nprintf \'#!/bin/sh\\necho "nats-server: v2.9.10"\\n\' > "$3/usr/sbin/nats-server"\n/bin/chmod 755 "$3/usr/sbin/nats-server"',
  );
  const { binary, version } = await findNatsServer({ cacheDir: cacheDir(), env: env(), log, release: unreachable });
  expect({ binary, version }).toEqual({ binary: path.join(cacheDir(), 'nats-server'), version: '2.9.10' });
  expect(said.join('\n')).toMatch(/ECONNREFUSED/);
});

test('a host that does not answer is given up after the connection timeout', async () => {
  const silent = createServer(() => undefined);
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const baseUrl = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  const search = findNatsServer({
    cacheDir: cacheDir(),
    env: env(),
    log,
    release: { ...unreachable, baseUrl },
    connectTimeoutMs: 100,
  });
  await expect(search).rejects.toThrow(/no answer within 0.1 s/);
  silent.closeAllConnections();
  await new Promise((resolve) => silent.close(resolve));
});

test('when everything fails, one error lists what was tried and what to do', async () => {
  const failure = await findNatsServer({ cacheDir: cacheDir(), env: env(), log, release: unreachable }).catch(
    (error: Error) => error.message,
  );
  for (const part of [
    'no nats-server on PATH',
    'ECONNREFUSED',
    'no apt-get and dpkg-deb',
    'NATS_SERVER_BIN',
    'NATS_URL',
  ]) {
    expect(failure).toContain(part);
  }
});

test('every pinned checksum is a SHA-256 and common Linux machines have one', () => {
  for (const sum of Object.values(pinnedRelease.sha256)) expect(sum).toMatch(/^[0-9a-f]{64}$/);
  expect(Object.keys(pinnedRelease.sha256)).toEqual(
    expect.arrayContaining([natsPlatform('linux', 'x64'), natsPlatform('linux', 'arm64')]),
  );
});

test('the cache folder is made when it is missing', async () => {
  await using release = await serveRelease('2.12.15');
  await findNatsServer({ cacheDir: path.join(folder, 'a', 'b'), env: env(), log, release });
  expect(await readdir(path.join(folder, 'a', 'b'))).toEqual(['nats-server']);
});
