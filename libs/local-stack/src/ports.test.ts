import { spawn } from 'node:child_process';
import { expect, test } from 'vitest';
import { freePort } from './ports.ts';

test('what many processes are promised at once are different ports, each in the range that clients are not given', async () => {
  const ports = import.meta.resolve('./ports.ts');
  const begin = Math.floor(Math.random() * 12_000);
  // All try the same ones in the same order.
  const script = `
    let at = ${begin};
    Math.random = () => (at++ % 12_000) / 12_000;
    const { freePort } = await import(${JSON.stringify(ports)});
    for (let index = 0; index < 20; index += 1) console.log(await freePort());`;
  const promisedTo = async () => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    for await (const chunk of child.stdout) text += String(chunk);
    return text.trim().split('\n').map(Number);
  };
  const promised = (await Promise.all([promisedTo(), promisedTo(), promisedTo()])).flat();
  promised.push(await freePort());
  expect(promised).toHaveLength(61);
  expect(new Set(promised).size).toBe(61);
  expect(Math.min(...promised)).toBeGreaterThanOrEqual(20_000);
  expect(Math.max(...promised)).toBeLessThan(32_768);
});
