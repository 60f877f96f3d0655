import { readReadyFile } from '@prequal/local-stack';
import { connectClient, runSql } from '@prequal/testing';
import { expect, test, vi } from 'vitest';
import { alive, npmRun, readyFileOf, temporaryDataDir } from './npm-run.ts';
import { submit, watchToEnd } from './stack.ts';

const processes = [
  'decisioning',
  'decisioning-2',
  'gateway',
  'gateway-2',
  'nats',
  'nats-2',
  'nats-3',
  'postgres',
  'scoring',
  'scoring-2',
];

test('npm run start:cluster goes on while a NATS server is away, and starts it again', async () => {
  await using dataDir = await temporaryDataDir();
  const { child, exited, ready, output } = await npmRun('start:cluster', dataDir.path);
  try {
    expect(output()).toMatch(/PRE_APPROVED in \d+ ms/);
    expect(Object.keys(ready.pids).toSorted()).toEqual(processes);
    const [first = '', second = ''] = ready.gatewayUrls ?? [];
    expect(first).toBe(ready.gatewayUrl);
    await using client = connectClient(first);
    await using otherClient = connectClient(second);

    const killed = ready.pids.nats ?? 0;
    process.kill(killed, 'SIGKILL');
    // Submitted at one gateway and watched at the other, while streams may be without a leader.
    const ids = await Promise.all(Array.from({ length: 20 }, () => submit(client)));
    const updates = await Promise.all(ids.map((id) => watchToEnd(otherClient, id)));
    for (const seen of updates) expect(seen.at(-1)).toMatchObject({ status: 'PRE_APPROVED' });
    const restarted = await vi.waitUntil(
      async () => {
        const { pids } = await readyFileOf(dataDir.path);
        return pids.nats !== killed && pids.nats;
      },
      { timeout: 20_000 },
    );
    expect(alive({ ...ready, pids: { nats: restarted } })).toEqual([restarted]);
    expect(
      await runSql(ready.databaseUrl, `select count(*)::int as pending from applications where status = 'PENDING'`),
    ).toEqual([{ pending: 0 }]);
  } finally {
    const last = await readyFileOf(dataDir.path);
    // As a terminal does on Ctrl-C: to the whole group, npm and the runner.
    process.kill(-(child.pid ?? 0), 'SIGINT');
    await exited;
    await vi.waitFor(() => expect(alive(last)).toEqual([]), 20_000);
    expect(await readReadyFile(dataDir.path)).toBeUndefined();
  }
});
