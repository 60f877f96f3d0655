import { closeSync, openSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startService } from '@prequal/local-stack';
import { expect } from 'vitest';
import { inProduction } from './edge.ts';
import { type TestStack, test } from './stack.ts';

/** A gateway in a process of its own, behind a proxy, so that each request says whose it is. */
async function startTarget(stack: TestStack, env: NodeJS.ProcessEnv) {
  const output = openSync('/dev/null', 'a');
  const service = await startService({
    name: 'gateway',
    repoRoot: path.resolve(import.meta.dirname, '..'),
    env: { ...process.env, ...inProduction(stack.envOf('gateway')), GATEWAY_TRUSTED_PROXIES: '1', ...env },
    output,
  });
  await expect.poll(async () => (await fetch(`${service.address}/readyz`)).status).toBe(200);
  return {
    url: service.address,
    [Symbol.asyncDispose]: async () => {
      await service[Symbol.asyncDispose]();
      closeSync(output);
    },
  };
}

let documents = 0;

/** As expensive to check as the limits allow, and never the same twice. */
function expensiveDocument(): string {
  documents += 1;
  return `query Q${documents} { application(id: "x") { ${'id '.repeat(240)} } }`;
}

async function ask(url: string, address: string, query: string): Promise<{ status: number; tookMs: number }> {
  const startedAt = performance.now();
  const answer = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-forwarded-for': address },
    body: JSON.stringify({ query }),
  });
  await answer.arrayBuffer();
  return { status: answer.status, tookMs: performance.now() - startedAt };
}

const meanOf = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** How long others wait for an answer while two addresses send new documents as fast as they can. */
async function othersWait(url: string, { untilRefused }: { untilRefused: boolean }): Promise<number> {
  const stopped = new AbortController();
  const statuses: number[] = [];
  const flooding = Array.from({ length: 32 }, async (_each, lane) => {
    while (!stopped.signal.aborted) {
      statuses.push((await ask(url, `203.0.113.${lane % 2}`, expensiveDocument())).status);
      // So that it is the gateway that is busy, and not this process; at random, so that they do not all come at once.
      await delay(40 * Math.random());
    }
  });
  const tookMs: number[] = [];
  try {
    // What they may send they have sent.
    const expected = untilRefused ? 429 : 200;
    await expect.poll(() => statuses.slice(-40)).toEqual(Array(40).fill(expected));
    const begunAt = performance.now();
    // Where each waits for seconds a few tell as much.
    while (tookMs.length < 25 && performance.now() - begunAt < 4_000) {
      const answer = await ask(url, `198.51.100.${tookMs.length}`, '{ __typename }');
      expect(answer.status).toBe(200);
      tookMs.push(answer.tookMs);
    }
  } finally {
    stopped.abort();
    await Promise.all(flooding);
  }
  return meanOf(tookMs);
}

test('a flood of new documents holds nobody else up', async ({ stack }) => {
  const limit = 'GATEWAY_MAX_NEW_DOCUMENT_CHARS_PER_ADDRESS_PER_MINUTE';
  const unlimited = { GATEWAY_MAX_REQUESTS_PER_ADDRESS_PER_SECOND: '0', [limit]: '0' };
  await using open = await startTarget(stack, unlimited);
  await using limited = await startTarget(stack, { ...unlimited, [limit]: '10000' });
  const [withoutLimitMs, withLimitMs]: [number[], number[]] = [[], []];
  // In turns: what else the machine does may hold up either the flood or who waits.
  for (let turn = 0; turn < 5; turn += 1) {
    withoutLimitMs.push(await othersWait(open.url, { untilRefused: false }));
    withLimitMs.push(await othersWait(limited.url, { untilRefused: true }));
  }
  expect(meanOf(withLimitMs)).toBeLessThan(meanOf(withoutLimitMs) * 0.7);
});
