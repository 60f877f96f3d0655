import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { readReadyFile } from '@prequal/local-stack';
import { connectBroker } from '@prequal/messaging';
import { connectClient, quiet, recordedLog, runSql } from '@prequal/testing';
import { expect, test, vi } from 'vitest';
import { alive, isAlive, npmRun, readyFileOf, temporaryDataDir } from './npm-run.ts';
import { submit, watchToEnd } from './stack.ts';

/** Files below a folder that hold a text in clear. */
async function filesWith(text: string, folder: string): Promise<string[]> {
  const grep = spawn('grep', ['--recursive', '--files-with-matches', '--fixed-strings', '--text', text, folder]);
  let found = '';
  grep.stdout.on('data', (chunk: Buffer) => (found += chunk.toString()));
  await once(grep, 'close');
  return found.split('\n').filter(Boolean);
}

test('npm start serves the whole path, restarts what dies, and stops in order', async () => {
  await using dataDir = await temporaryDataDir();
  const { child, exited, ready, output } = await npmRun('start', dataDir.path);
  try {
    expect(Object.keys(ready.pids).toSorted()).toEqual(['decisioning', 'gateway', 'nats', 'postgres', 'scoring']);
    await vi.waitFor(
      () => expect(output()).toMatch(/PRE_APPROVED in \d+ ms[\s\S]*GraphiQL: http:\/\/127\.0\.0\.1:\d+\/graphql/),
      10_000,
    );
    await using operator = connectBroker({ natsUrl: ready.natsUrl, name: 'test', log: quiet });
    const { jsm } = await operator.jetStream();
    expect((await jsm.streams.info('LOAN_STATUS')).state.messages).toBe(1);
    const { log, lines } = recordedLog();
    await using nobody = connectBroker({ natsUrl: ready.natsUrl.replace(/\/\/.*@/, '//'), name: 'test', log });
    await vi.waitFor(() => expect(lines.join('')).toContain('AUTHORIZATION_VIOLATION'), 10_000);
    expect(nobody.isConnected()).toBe(false);

    await using client = connectClient(ready.gatewayUrl);
    const first = await submit(client);
    expect((await watchToEnd(client, first)).at(-1)).toMatchObject({ status: 'PRE_APPROVED' });

    for (const name of ['scoring', 'decisioning', 'gateway', 'nats', 'postgres'] as const) {
      const { pids } = await readyFileOf(dataDir.path);
      const killed = pids[name];
      if (killed === undefined) throw new Error(`no pid of ${name}`);
      process.kill(killed, 'SIGKILL');
      await vi.waitFor(
        async () => {
          const { pids: after } = await readyFileOf(dataDir.path);
          expect(after[name]).not.toBe(killed);
          expect((await fetch(`${ready.gatewayUrl}/health`)).status).toBe(200);
        },
        { timeout: 30_000, interval: 100 },
      );
      await using freshClient = connectClient(ready.gatewayUrl);
      const id = await vi.waitFor(() => submit(freshClient), { timeout: 10_000 });
      expect((await watchToEnd(freshClient, id)).at(-1), name).toMatchObject({ status: 'PRE_APPROVED' });
    }

    // The PAN is in no log, no database file and no stream; the name only in the database.
    expect(output()).toContain('application decided');
    expect(output()).not.toMatch(/ABCDE1234F|Sandbox Applicant/);
    expect(await filesWith('ABCDE1234F', dataDir.path)).toEqual([]);
    expect(await filesWith('Sandbox Applicant', join(dataDir.path, 'nats'))).toEqual([]);
    expect(await filesWith('Sandbox Applicant', join(dataDir.path, 'postgres'))).not.toEqual([]);

    const rows = await runSql<{ synthetic: boolean; count: string }>(
      ready.databaseUrl,
      'select synthetic, count(*) from applications group by 1 order by 1',
    );
    expect(rows.map(({ synthetic, count }) => [synthetic, Number(count)])).toEqual([
      [false, 6],
      [true, 1],
    ]);
  } finally {
    const last = await readyFileOf(dataDir.path);
    child.kill('SIGTERM');
    expect(await exited).toBe(0);
    expect(await readReadyFile(dataDir.path)).toBeUndefined();
    expect(alive(last)).toEqual([]);
  }
});

test('after the runner was killed nothing of it stays in the way of the next start', async () => {
  await using dataDir = await temporaryDataDir();
  const crashed = await npmRun('start', dataDir.path);
  await using client = connectClient(crashed.ready.gatewayUrl);
  const id = await submit(client);
  // `exec` made npm's child the runner itself; npm is killed with it.
  const runner = await runnerPid(crashed.child.pid);
  process.kill(runner, 'SIGKILL');
  await crashed.exited;
  await vi.waitFor(() => {
    const { gateway = 0, scoring = 0, decisioning = 0 } = crashed.ready.pids;
    expect([gateway, scoring, decisioning].filter(isAlive)).toEqual([]);
  }, 12_000);

  const next = await npmRun('start', dataDir.path);
  try {
    await using nextClient = connectClient(next.ready.gatewayUrl);
    expect((await watchToEnd(nextClient, id)).at(-1)).toMatchObject({ applicationId: id, status: 'PRE_APPROVED' });
    expect(alive(crashed.ready)).toEqual([]);
  } finally {
    // As a terminal does on Ctrl-C: to the whole group, npm and the runner.
    process.kill(-(next.child.pid ?? 0), 'SIGINT');
    await next.exited;
    await vi.waitFor(() => expect(alive(next.ready)).toEqual([]), 15_000);
    expect(await readReadyFile(dataDir.path)).toBeUndefined();
  }
});

async function runnerPid(npmPid: number | undefined): Promise<number> {
  const ps = spawn('ps', ['-o', 'pid=', '--ppid', String(npmPid)]);
  let output = '';
  ps.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await once(ps, 'close');
  return Number(output.trim().split(/\s+/)[0]);
}
