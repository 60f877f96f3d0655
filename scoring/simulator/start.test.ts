import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { behaviour, strikes } from './behaviour.ts';
import { startBureauSimulator } from './start.ts';

const request = {
  applicationId: '019a0000-0000-7000-8000-000000000001',
  panNumber: 'ABCDE1234F',
  loanType: 'AUTO',
  monthlyIncomeInr: '50000.00',
};
const silent = { BUREAU_PORT: '0', LOG_LEVEL: 'silent' };

async function send(url: string, method: string, path: string, body?: unknown) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const response = await fetch(url + path, { method, ...(text !== undefined && { body: text }) });
  return { status: response.status, body: await response.json() };
}

test('behaves as it was told last, and tells how that is', async () => {
  await using bureau = await startBureauSimulator(silent);
  const ask = () => send(bureau.url, 'POST', '/v1/credit-reports', request);
  expect(await send(bureau.url, 'GET', '/behaviour')).toEqual({ status: 200, body: { behaviour: 'normal' } });
  expect(await ask()).toMatchObject({ status: 200, body: { result: 'SCORED', score: 790 } });
  const told = { behaviour: 'unavailable', probability: 1, seed: 1 };
  expect(await send(bureau.url, 'PUT', '/behaviour', { behaviour: 'unavailable' })).toEqual({
    status: 200,
    body: told,
  });
  expect(await send(bureau.url, 'GET', '/behaviour')).toEqual({ status: 200, body: told });
  expect(await ask()).toMatchObject({ status: 503 });
});

test.each([
  [{ behaviour: 'sulking' }, /^behaviour: .*'unavailable'/],
  [{ behaviour: 'lying', probability: 2 }, /^probability: /],
  [{ behaviour: 'slow', delay: 5 }, /^body: .*"delay"/],
  ['{', /^body: not JSON$/],
  [{ behaviour: 'x'.repeat(20_000) }, /^body: larger than 16384 bytes$/],
])('says what is wrong with %.40j and goes on as before', async (told, problem) => {
  await using bureau = await startBureauSimulator(silent);
  const refused = { status: 400, body: { code: 'INVALID', problems: [expect.stringMatching(problem)] } };
  expect(await send(bureau.url, 'PUT', '/behaviour', told)).toEqual(refused);
  expect(await send(bureau.url, 'GET', '/behaviour')).toMatchObject({ body: { behaviour: 'normal' } });
});

test('names what is wrong with a request, not what was sent', async () => {
  await using bureau = await startBureauSimulator(silent);
  const { status, body } = await send(bureau.url, 'POST', '/v1/credit-reports', { ...request, loanType: 'ABCDE1234F' });
  expect(status).toBe(400);
  expect(body.problems).toEqual([expect.stringMatching(/^loanType: /)]);
  expect(JSON.stringify(body)).not.toContain('ABCDE1234F');
});

describe('a behaviour with a probability', () => {
  const struck = (settings: object) => {
    const chosen = behaviour.parse({ behaviour: 'unavailable', ...settings });
    return Array.from({ length: 1_000 }, (_, count) => strikes(chosen, count, request.applicationId));
  };

  test('strikes about that share, and with one seed always the same requests', () => {
    const share = struck({ probability: 0.3, seed: 7 }).filter(Boolean).length;
    expect(share).toBeGreaterThan(240);
    expect(share).toBeLessThan(360);
    expect(struck({ probability: 0.3, seed: 7 })).toEqual(struck({ probability: 0.3, seed: 7 }));
    expect(struck({ probability: 0.3, seed: 8 })).not.toEqual(struck({ probability: 0.3, seed: 7 }));
  });

  test.each([
    [1_000, {}],
    [1_000, { probability: 1 }],
    [0, { probability: 0 }],
    [0, { applicationId: '019a0000-0000-7000-8000-000000000002' }],
    [1_000, { applicationId: request.applicationId }],
  ])('strikes %d of 1000 requests with %j', (count, settings) => {
    expect(struck(settings).filter(Boolean)).toHaveLength(count);
  });
});

test('its process logs no PAN and stops in order while an answer is still being delayed', async () => {
  const env = { ...process.env, BUREAU_PORT: '0', LOG_LEVEL: 'trace' };
  const entry = join(import.meta.dirname, 'main.ts');
  const child = spawn(process.execPath, [entry], { env, stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
  let output = '';
  child.stdout?.on('data', (chunk) => (output += chunk));
  const [{ listening }] = await once(child, 'message');
  await send(listening, 'POST', '/v1/credit-reports', request);
  await send(listening, 'PUT', '/behaviour', { behaviour: 'slow', delayMs: 600_000 });
  const cutOff = send(listening, 'POST', '/v1/credit-reports', request).then(
    () => 'answered',
    (error: Error) => error.message,
  );
  await expect.poll(() => output).toContain('"behaviour":"slow","status":200');
  child.kill('SIGTERM');
  expect(await once(child, 'exit')).toEqual([0, null]);
  expect(await cutOff).toBe('fetch failed');
  expect(output).toContain(request.applicationId);
  expect(output).not.toContain('ABCDE1234F');
});
