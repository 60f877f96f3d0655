import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { commandLine } from './processes.ts';
import { readReadyFile } from './ready-file.ts';
import { startLocalStack } from './start.ts';

// Stand-ins that keep the contract between the runner and a service, and nothing else: the address over
// IPC, /readyz, the two GraphQL operations, a stop on SIGTERM. The real services are run by test/.
const service = `
import { createServer } from 'node:http';
import { appendFileSync } from 'node:fs';
const name = process.argv[1].split('/').at(-3);
const answer = { data: { submitApplication: { application: { id: 'id-1', status: 'PENDING' } } } };
const update = (status) => 'event: next\\ndata: ' + JSON.stringify({ data: { applicationStatus: { status, final: false } } }) + '\\n\\n';
const server = createServer(async (request, response) => {
  if (request.url === '/readyz') return response.writeHead(process.env.UNREADY === name ? 503 : 200).end('{}');
  let body = '';
  for await (const chunk of request) body += chunk;
  if (body.includes('mutation')) return response.end(JSON.stringify(process.env.REFUSE ? { errors: [{ message: 'no', extensions: { code: 'RATE_LIMITED' } }] } : answer));
  response.end(update('PENDING') + update('PRE_APPROVED'));
});
if (process.env.CRASH === name) process.exit(7);
server.listen(process.env[name.toUpperCase() + '_PORT'], '127.0.0.1', () => process.send({ listening: 'http://127.0.0.1:' + server.address().port }));
process.once('disconnect', () => process.exit());
process.once('SIGTERM', () => {
  appendFileSync('stopped', name + ' ');
  process.exit();
});
`;

let repoRoot: string;
let dataDir: string;
let pids: number[];

beforeEach(async () => {
  repoRoot = await mkdtemp(path.join(tmpdir(), 'stack-'));
  await chmod(repoRoot, 0o755);
  dataDir = path.join(repoRoot, '.data');
  pids = [];
  for (const name of ['gateway', 'scoring', 'decisioning']) {
    await mkdir(path.join(repoRoot, name, 'src'), { recursive: true });
    await writeFile(path.join(repoRoot, name, 'src', 'main.ts'), service);
  }
  await writeFile(path.join(repoRoot, 'package.json'), '{ "type": "module" }');
});
afterEach(() => rm(repoRoot, { recursive: true, force: true }));

const start = (extra: NodeJS.ProcessEnv = {}, signal?: AbortSignal) =>
  startLocalStack({
    env: { ...process.env, GATEWAY_PORT: '0', SCORING_PORT: '0', DECISIONING_PORT: '0', ...extra },
    log: () => {},
    repoRoot,
    onSpawn: (pid) => pids.push(pid),
    ...(signal && { signal }),
  });

async function expectNothingLeft(): Promise<void> {
  for (const pid of pids) expect(await commandLine(pid)).toBe('');
  expect((await readdir(dataDir)).filter((name) => name.endsWith('.json') || name.endsWith('.lock'))).not.toContain(
    'ready.json',
  );
}

describe('the local stack', () => {
  test('starts, decides the synthetic application, restarts what dies, and stops in order', async () => {
    const stack = await start();
    expect(stack.synthetic).toMatchObject({ applicationId: 'id-1', status: 'PRE_APPROVED' });
    const ready = await readReadyFile(dataDir);
    expect(ready).toMatchObject({
      gatewayUrl: stack.gatewayUrl,
      databaseUrl: stack.databaseUrl,
      natsUrl: stack.natsUrl,
    });
    expect(Object.keys(ready?.pids ?? {}).toSorted()).toEqual([
      'decisioning',
      'gateway',
      'nats',
      'postgres',
      'scoring',
    ]);

    for (const name of ['gateway', 'nats', 'postgres'] as const) {
      const before = (await readReadyFile(dataDir))?.pids[name] ?? 0;
      process.kill(before, 'SIGKILL');
      await vi.waitUntil(async () => (await readReadyFile(dataDir))?.pids[name] !== before, { timeout: 20_000 });
    }
    expect((await fetch(`${stack.gatewayUrl}/readyz`)).status).toBe(200); // at the address it had before

    await expect(start()).rejects.toThrow(/already runs/);
    await stack[Symbol.asyncDispose]();
    await expectNothingLeft();
    expect(await readFile(path.join(repoRoot, 'stopped'), 'utf8')).toBe('gateway scoring decisioning ');
  });

  test('a service that cannot start fails the start, and nothing is left running', async () => {
    await expect(start({ CRASH: 'scoring' })).rejects.toThrow(
      /The service scoring ended while starting \(exit code 7\)/,
    );
    await expectNothingLeft();
  });

  test('a gateway that refuses the synthetic application fails the start with its reason', async () => {
    await expect(start({ REFUSE: '1' })).rejects.toThrow(/synthetic application failed: RATE_LIMITED/);
    await expectNothingLeft();
  });

  test('a cancelled start stops what had started, at any moment', async () => {
    for (const seen of [1, 2, 4]) {
      const cancel = new AbortController();
      const starting = start({ UNREADY: 'gateway' }, cancel.signal);
      const before = pids.length;
      await vi.waitUntil(() => pids.length >= before + seen, { timeout: 20_000, interval: 5 });
      cancel.abort(new Error('enough'));
      await expect(starting).rejects.toThrow('enough');
      await expectNothingLeft();
    }
  });
});
