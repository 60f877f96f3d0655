import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { availableParallelism, tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findNatsServer } from './find-nats-server.ts';
import { startNatsServer } from './nats-server.ts';
import { commandLine, isAlive } from './processes.ts';

let storeDir: string;
let binary: string;

beforeEach(async () => {
  storeDir = await mkdtemp(path.join(tmpdir(), 'nats-'));
  ({ binary } = await findNatsServer({
    cacheDir: path.resolve(import.meta.dirname, '../../../.data/cache'),
    env: process.env,
  }));
});
afterEach(() => rm(storeDir, { recursive: true, force: true }));

test('it runs with JetStream, keeps its port at the next start, and stopping leaves no process', async () => {
  const first = await startNatsServer({ binary, storeDir, port: 0 });
  expect(first.url).toBe(`nats://127.0.0.1:${first.port}`);
  expect(await (await fetch(`${first.monitorUrl}/jsz`)).json()).toMatchObject({
    config: { max_storage: expect.any(Number) as number },
  });
  await first[Symbol.asyncDispose]();
  expect(isAlive(first.pid)).toBe(false);
  await using second = await startNatsServer({ binary, storeDir, port: 0 });
  expect(second.port).toBe(first.port);
});

test('it leaves half of the processors to the others', async () => {
  await using server = await startNatsServer({ binary, storeDir, port: 0 });
  const { gomaxprocs } = (await (await fetch(`${server.monitorUrl}/varz`)).json()) as { gomaxprocs: number };
  expect(gomaxprocs).toBe(Math.max(1, Math.floor(availableParallelism() / 2)));
});

test('sync_interval is set for every version that knows it, and only for those', async () => {
  await using server = await startNatsServer({ binary, storeDir, port: 0 });
  const [major = 0, minor = 0] = server.version.split('.').map(Number);
  const configuration = await readFile(path.join(storeDir, 'nats-server.conf'), 'utf8');
  expect(configuration.includes('sync_interval: always')).toBe(major > 2 || minor >= 10);
});

test('a server left behind by a killed process is stopped and its store used again', async () => {
  const code = `
    const { startNatsServer } = await import(${JSON.stringify(path.join(import.meta.dirname, 'nats-server.ts'))});
    const server = await startNatsServer(${JSON.stringify({ binary, storeDir, port: 0 })});
    console.log(server.pid);`;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [output] = (await once(parent.stdout, 'data')) as [Buffer];
  const leftOver = Number(output.toString());
  parent.kill('SIGKILL');
  await once(parent, 'exit');
  expect(await commandLine(leftOver)).toContain(storeDir);
  await using server = await startNatsServer({ binary, storeDir, port: 0 });
  expect(server.pid).not.toBe(leftOver);
  expect(await commandLine(leftOver)).toBe(''); // gone, or a zombie that nobody reaps
});

test('an occupied port is an error that names the port and the variable', async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const { port } = other.address() as AddressInfo;
  await expect(startNatsServer({ binary, storeDir, port })).rejects.toThrow(new RegExp(`Port ${port} .* NATS_PORT`));
  await new Promise((resolve) => other.close(resolve));
});

test('its death is told with the reason', async () => {
  const server = await startNatsServer({ binary, storeDir, port: 0 });
  process.kill(server.pid, 'SIGKILL');
  expect(await server.exited).toBe('SIGKILL');
});
