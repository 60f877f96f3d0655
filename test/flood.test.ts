import { closeSync, openSync } from 'node:fs';
import path from 'node:path';
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
  await expect.poll(async () => (await fetch(`${service.address}/readyz`)).status, { timeout: 20_000 }).toBe(200);
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

const quantile = (values: number[], share: number) =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length * share)] ?? Number.NaN;

/** How long others wait for an answer while two addresses send `query` as fast as they can. */
async function othersUnderFlood(url: string, query: () => string) {
  const stopped = new AbortController();
  const statuses = new Map<number, number>();
  const flooding = Array.from({ length: 8 }, async (_each, lane) => {
    while (!stopped.signal.aborted) {
      const { status } = await ask(url, `203.0.113.${lane % 2}`, query());
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
  });
  const tookMs: number[] = [];
  try {
    // What they may send they have sent.
    await expect.poll(() => statuses.get(429) ?? 0, { timeout: 20_000 }).toBeGreaterThan(50);
    for (let index = 0; index < 100; index += 1) {
      const answer = await ask(url, `198.51.100.${index}`, '{ __typename }');
      expect(answer.status).toBe(200);
      tookMs.push(answer.tookMs);
    }
  } finally {
    stopped.abort();
    await Promise.all(flooding);
  }
  return { p95Ms: quantile(tookMs, 0.95), statuses };
}

test('a flood of new documents holds nobody else up', { timeout: 60_000 }, async ({ stack }) => {
  await using target = await startTarget(stack, {
    GATEWAY_MAX_NEW_DOCUMENT_CHARS_PER_ADDRESS_PER_MINUTE: '10000',
    GATEWAY_MAX_REQUESTS_PER_ADDRESS_PER_SECOND: '0',
  });
  const alone: number[] = [];
  for (let index = 0; index < 9; index += 1) {
    const { status, tookMs } = await ask(target.url, '192.0.2.1', expensiveDocument());
    expect(status).toBe(200);
    alone.push(tookMs);
  }
  const { p95Ms } = await othersUnderFlood(target.url, expensiveDocument);
  console.log(alone, p95Ms);
  // Unlimited, everybody waits for eight of them to be checked.
  expect(p95Ms).toBeLessThan(quantile(alone, 0.5));
});
