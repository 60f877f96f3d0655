import { spawn } from 'node:child_process';
import { expect, test, vi } from 'vitest';
import type { RunningProcess } from './local-server.ts';
import { exitOf, isAlive, stopProcess } from './processes.ts';
import { supervise } from './supervise.ts';

const backoff = { firstMs: 10, longestMs: 40, settledAfterMs: 10_000 };
const log = (): void => {};

function start(code = 'setInterval(() => {}, 1000)'): Promise<RunningProcess> {
  const child = spawn(process.execPath, ['-e', code], { stdio: 'ignore' });
  const exited = exitOf(child);
  const pid = child.pid ?? 0;
  return Promise.resolve({
    pid,
    exited,
    [Symbol.asyncDispose]: () => stopProcess(pid, [{ signal: 'SIGKILL', waitMs: 5_000 }], exited),
  });
}

test('a process that dies is started again, each time it dies, and its new id is told', async () => {
  const restarted: number[] = [];
  const first = await start();
  const supervised = supervise({
    name: 'p',
    first,
    start: () => start(),
    onRestart: ({ pid }) => void restarted.push(pid),
    log,
    backoff,
  });
  process.kill(first.pid, 'SIGKILL');
  await vi.waitUntil(() => restarted.length === 1, { timeout: 10_000 });
  process.kill(restarted[0] ?? 0, 'SIGKILL');
  await vi.waitUntil(() => restarted.length === 2, { timeout: 10_000 });
  expect(isAlive(restarted[1] ?? 0)).toBe(true);
  await supervised[Symbol.asyncDispose]();
  expect(isAlive(restarted[1] ?? 0)).toBe(false);
});

test('stopping ends the process and does not start it again', async () => {
  const first = await start();
  let starts = 0;
  const again = () => {
    starts++;
    return start();
  };
  await supervise({ name: 'p', first, start: again, onRestart: () => {}, log, backoff })[Symbol.asyncDispose]();
  expect(isAlive(first.pid)).toBe(false);
  expect(starts).toBe(0);
});

test('a start that fails is tried again with growing delays', async () => {
  const attempts: number[] = [];
  const first = await start('');
  let running = false;
  const again = () => {
    attempts.push(performance.now());
    return attempts.length < 4 ? Promise.reject(new Error('not yet')) : start();
  };
  const supervised = supervise({
    name: 'p',
    first,
    start: again,
    onRestart: () => void (running = true),
    log,
    backoff,
  });
  await vi.waitUntil(() => running, { timeout: 10_000 });
  const delays = attempts.slice(1).map((at, index) => at - (attempts[index] ?? 0));
  expect(delays[0]).toBeGreaterThanOrEqual(19); // 20 ms, then 40 ms, by a timer that rounds
  expect(delays[1]).toBeGreaterThanOrEqual(39);
  await supervised[Symbol.asyncDispose]();
});

test('stopping while it is being started again cancels that start and leaves nothing', async () => {
  const first = await start('');
  const cancelled = Promise.withResolvers<void>();
  const starting = Promise.withResolvers<void>();
  const again = (signal: AbortSignal) =>
    new Promise<RunningProcess>((_, reject) => {
      starting.resolve();
      signal.addEventListener('abort', () => {
        cancelled.resolve();
        reject(new Error('cancelled'));
      });
    });
  const supervised = supervise({ name: 'p', first, start: again, onRestart: () => {}, log, backoff });
  await starting.promise;
  await supervised[Symbol.asyncDispose]();
  await expect(cancelled.promise).resolves.toBeUndefined();
});
