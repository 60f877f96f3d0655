import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'prequal-run-'));
});
afterAll(() => rm(folder, { recursive: true }));

const library = new URL('./index.ts', import.meta.url).href;

/** A service that holds a real server open; `stop` is what its disposal does before it lets go. */
function serving(stop = ''): string {
  return `async () => {
    const metrics = createMetrics('test');
    const server = await serveHealth({ dependencies: [], isServing: () => true, metrics }, { host: '127.0.0.1', port: 0 });
    const log = createLog('test', 'info');
    return { url: server.url, log, [Symbol.asyncDispose]: async () => {
      ${stop}
      await server[Symbol.asyncDispose]();
      console.log('disposed');
    } };
  }`;
}

type Started = AsyncDisposable & {
  child: ChildProcessByStdio<null, Readable, Readable>;
  /** The text so far. */
  output: { stdout: string; stderr: string };
  /** What the parent is told over IPC. */
  messages: unknown[];
  said: (text: string) => Promise<void>;
  /** Resolves once the process has ended and all it said is in `output`. */
  exit: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
};

/** Starts `run(start)` in a process of its own, with an IPC channel unless told otherwise. */
async function running(start: string, { ipc = true, before = '' } = {}): Promise<Started> {
  const file = join(folder, `${crypto.randomUUID()}.mjs`);
  await writeFile(
    file,
    `import { ConfigError, createLog, createMetrics, run, serveHealth } from ${JSON.stringify(library)};
    ${before}
    await run(${start});`,
  );
  const child = spawn(process.execPath, [file], {
    stdio: ['ignore', 'pipe', 'pipe', ...(ipc ? (['ipc'] as const) : [])],
  }) as ChildProcessByStdio<null, Readable, Readable>;
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    output.stderr += text;
  });
  const messages: unknown[] = [];
  child.on('message', (message) => messages.push(message));
  // Not `close`: it never comes when the parent has disconnected.
  const exit = Promise.all([once(child, 'exit'), finished(child.stdout), finished(child.stderr)]).then(
    ([[code, signal]]) => ({ code, signal }),
  );
  return {
    child,
    output,
    messages,
    said: async (text) => {
      await vi.waitUntil(() => output.stdout.includes(text), { timeout: 15_000, interval: 10 });
    },
    exit,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await exit;
    },
  };
}

describe.concurrent('a service process', () => {
  test('tells the runner where it listens, once it works', async () => {
    await using service = await running(serving());
    const { said, messages, output } = service;
    await said('listening');
    await vi.waitUntil(() => messages.length > 0, 10_000);
    const [{ listening }] = messages as [{ listening: string }];
    expect(listening).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(output.stdout).toContain(`"url":"${listening}"`);
    expect((await fetch(`${listening}/livez`)).status).toBe(200);
  });

  test.each([
    ['SIGTERM', true],
    ['SIGTERM', false],
    ['SIGINT', true],
    ['SIGINT', false],
  ] as const)('exits 0 on %s, after its disposal is done (with a runner: %s)', async (signal, ipc) => {
    const slowly = 'await new Promise((resolve) => setImmediate(resolve));';
    await using service = await running(serving(slowly), { ipc });
    const { child, said, exit, output } = service;
    await said('listening');
    child.kill(signal);
    expect(await exit).toEqual({ code: 0, signal: null });
    expect(output.stdout).toContain(`"reason":"${signal}"`);
    expect(output.stdout.indexOf('disposed')).toBeGreaterThan(0);
    expect(output.stdout.indexOf('"msg":"stopped"')).toBeGreaterThan(output.stdout.indexOf('disposed'));
    expect(output.stderr).toBe('');
  });

  test('stops in order, and exits 0, when its runner is gone', async () => {
    await using service = await running(serving());
    const { child, said, exit, output } = service;
    await said('listening');
    child.disconnect();
    expect(await exit).toEqual({ code: 0, signal: null });
    expect(output.stdout).toContain('disposed');
    expect(output.stdout).toContain('the runner is gone');
    expect(output.stderr).toBe('');
  });

  test('exits 1 when its configuration is wrong, with the message alone', async () => {
    await using service = await running(`async () => { throw new ConfigError('Set or correct: NATS_URL'); }`);
    const { exit, output } = service;
    expect(await exit).toEqual({ code: 1, signal: null });
    expect(output.stderr).toBe('Set or correct: NATS_URL\n');
    expect(output.stdout).toBe('');
  });

  test('exits 1 when its start fails, and says why', async () => {
    await using service = await running(`async () => { throw new Error('the port is taken'); }`);
    const { exit, output, messages } = service;
    expect(await exit).toEqual({ code: 1, signal: null });
    expect(output.stderr).toContain('Error: the port is taken');
    expect(messages).toEqual([]);
  });

  test('does not print what an error of its start carries along, which may be a password', async () => {
    await using service = await running(`async () => { new URL('not a url: hunter2'); }`);
    const { exit, output } = service;
    expect(await exit).toEqual({ code: 1, signal: null });
    expect(output.stderr).toContain('Invalid URL');
    expect(output.stderr).not.toContain('hunter2');
  });

  // What a start may wait for: a server that is not there yet.
  const waiting = `() => { console.log('starting'); return new Promise(() => setInterval(() => {}, 1_000)); }`;

  test.each(['SIGTERM', 'SIGINT'] as const)('that is still starting exits 0 on %s', async (signal) => {
    await using service = await running(waiting);
    const { child, said, exit, messages } = service;
    await said('starting');
    child.kill(signal);
    expect(await exit).toEqual({ code: 0, signal: null });
    expect(messages).toEqual([]);
  });

  test('that is still starting exits 0 when its runner is gone', async () => {
    await using service = await running(waiting);
    const { child, said, exit } = service;
    await said('starting');
    child.disconnect();
    expect(await exit).toEqual({ code: 0, signal: null });
  });

  test.each([
    ['throws', `throw new Error('broken invariant of ours');`],
    ['rejects', `Promise.reject(new Error('broken invariant of ours'));`],
  ])('ends with 1 when something %s that nobody catches', async (_how, fault) => {
    const before = `process.once('message', () => { ${fault} });`;
    await using service = await running(serving(), { before });
    const { child, said, exit, output } = service;
    await said('listening');
    child.send('now');
    expect(await exit).toEqual({ code: 1, signal: null });
    expect(output.stdout).toContain('"level":"fatal"');
    expect(output.stdout).toContain('broken invariant of ours');
    expect(output.stdout).not.toContain('disposed');
  });

  test('exits 0 when all was let go and something stays open, and says what', async () => {
    await using service = await running(serving('setInterval(() => {}, 100);'));
    const { child, said, exit, output } = service;
    await said('listening');
    child.kill('SIGTERM');
    expect(await exit).toEqual({ code: 0, signal: null });
    expect(output.stdout).toContain('"open":"');
    expect(output.stdout).toMatch(/"open":"[^"]*Timeout/);
  });

  test('ends with 1 when its disposal fails', async () => {
    await using service = await running(serving(`throw new Error('could not let go');`));
    const { child, said, exit, output } = service;
    await said('listening');
    child.kill('SIGTERM');
    expect(await exit).toEqual({ code: 1, signal: null });
    expect(output.stdout + output.stderr).toContain('could not let go');
    expect(output.stdout).not.toContain('"msg":"stopped"');
  });

  test('ends with 1 when its disposal takes longer than 10 seconds', async () => {
    await using service = await running(serving('await new Promise(() => setInterval(() => {}, 1_000));'));
    const { child, said, exit, output } = service;
    await said('listening');
    const askedAt = performance.now();
    child.kill('SIGTERM');
    expect(await exit).toEqual({ code: 1, signal: null });
    expect(performance.now() - askedAt).toBeGreaterThan(9_900);
    expect(output.stdout).toContain('the stop took too long');
  }, 40_000);
});
