import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { expect, test } from 'vitest';
import { commandLine, exitOf, runCommand, startTime, stopProcess } from './processes.ts';

test('a command that fails, is missing or takes too long is not ok and says why', async () => {
  expect(await runCommand('sh', ['-c', 'echo out; echo err >&2'])).toEqual({ ok: true, output: 'out\nerr\n' });
  expect(await runCommand('sh', ['-c', 'echo why; exit 2'])).toEqual({ ok: false, output: 'why\n' });
  expect((await runCommand('/nowhere/program', [])).output).toContain('ENOENT');
  expect((await runCommand('sleep', ['60'], { timeoutMs: 50 })).ok).toBe(false);
});

test('a command that cannot be started does not keep the process alive until its timeout', async () => {
  const file = JSON.stringify(path.join(import.meta.dirname, 'processes.ts'));
  const code = `const { runCommand } = await import(${file}); await runCommand('/nowhere/program', [], { timeoutMs: 600_000 });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: 'ignore' });
  expect(await once(child, 'exit')).toEqual([0, null]);
});

test('a process that ignores a signal gets the next one', async () => {
  const child = spawn(process.execPath, [
    '-e',
    `process.on('SIGTERM', () => {}); console.log('up'); setInterval(() => {}, 1000)`,
  ]);
  await once(child.stdout, 'data');
  const exited = exitOf(child);
  const steps = [{ signal: 'SIGTERM', waitMs: 50 } as const, { signal: 'SIGKILL', waitMs: 5_000 } as const];
  await stopProcess(child.pid ?? 0, steps, exited);
  expect(await exited).toBe('SIGKILL');
});

test('a process is recognised by its command line and the time it began, and no longer when it is gone', async () => {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)', 'a-mark'], { stdio: 'ignore' });
  const pid = child.pid ?? 0;
  const began = await startTime(pid);
  expect(began).not.toBe('');
  expect(await commandLine(pid)).toContain('a-mark');
  await stopProcess(pid, [{ signal: 'SIGKILL', waitMs: 5_000 }], exitOf(child));
  expect(await startTime(pid)).toBe('');
  expect(await commandLine(pid)).toBe('');
});
