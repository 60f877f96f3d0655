import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, utimes, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { freePort } from './ports.ts';

/** What four processes are promised that begin in the same moment and all try the same ports in the same order, from `begin` on. */
async function promisedToMany(begin: number): Promise<number[]> {
  const ports = import.meta.resolve('./ports.ts');
  const script = `
    let at = ${begin - 20_000};
    Math.random = () => (at++ % 12_000) / 12_000;
    const { freePort } = await import(${JSON.stringify(ports)});
    console.log('ready');
    process.stdin.once('data', async () => {
      for (let index = 0; index < 8; index += 1) console.log(await freePort());
    });`;
  const children = Array.from({ length: 4 }, () => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const chunks: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    const ready = once(child.stdout, 'data');
    const closed = once(child, 'close');
    return { child, chunks, ready, closed };
  });
  await Promise.all(children.map(({ ready }) => ready));
  for (const { child } of children) child.stdin.end('begin\n');
  await Promise.all(children.map(({ closed }) => closed));
  return children.flatMap(({ chunks }) => Buffer.concat(chunks).toString().trim().split('\n').slice(1).map(Number));
}

const somePort = () => 20_000 + Math.floor(Math.random() * 11_500);

test('what many processes are promised at once are different ports, each in the range that clients are not given', async () => {
  const promised = await promisedToMany(somePort());
  promised.push(await freePort());
  expect(promised).toHaveLength(33);
  expect(new Set(promised).size).toBe(33);
  expect(Math.min(...promised)).toBeGreaterThanOrEqual(20_000);
  expect(Math.max(...promised)).toBeLessThan(32_768);
});

test('a port whose promise is old is promised again, and to one process only', async () => {
  const begin = somePort();
  const directory = path.join(tmpdir(), `prequal-ports-${userInfo().uid}`);
  await mkdir(directory, { recursive: true });
  const old = new Date(Date.now() - 600_000);
  for (let port = begin; port < begin + 500; port += 1) {
    const file = path.join(directory, String(port));
    // What somebody has been promised stays as it is.
    const isOurs = await writeFile(file, '', { flag: 'wx' }).then(
      () => true,
      () => false,
    );
    if (isOurs) await utimes(file, old, old);
  }
  const promised = await promisedToMany(begin);
  expect(promised).toHaveLength(32);
  expect(new Set(promised).size).toBe(32);
  expect(Math.max(...promised)).toBeLessThan(begin + 500);
});
