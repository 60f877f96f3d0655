import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { percentiles } from './percentiles.ts';

/**
 * Submits at a fixed rate for a while, each application with its own watcher, and tells how long it took
 * from the mutation's request to the pushed decision. Open loop: a request is sent when its time has come
 * and its latency counts from then, whatever the earlier ones do. Rate 0 sends one after the other.
 *
 *   node bench/watch-latency.ts --url http://127.0.0.1:4000 --rate 100 --seconds 60
 */
const { values } = parseArgs({
  options: {
    url: { type: 'string', default: 'http://127.0.0.1:4000' },
    rate: { type: 'string', default: '100' },
    seconds: { type: 'string', default: '60' },
    sockets: { type: 'string', default: '20' },
  },
});
const [rate, seconds, socketCount] = [Number(values.rate), Number(values.seconds), Number(values.sockets)];
const url = `${values.url}/graphql`;
const decisionTimeoutMs = 30_000;

const submitDocument = `mutation ($input: SubmitApplicationInput!) { submitApplication(input: $input) { application { id } } }`;
const watchDocument = `subscription ($id: ID!) { applicationStatus(id: $id) { status version final } }`;
const sockets = Array.from({ length: socketCount }, () =>
  createClient({ url: url.replace(/^http/, 'ws'), webSocketImpl: WebSocket, lazyCloseTimeout: 5_000 }),
);

const acknowledgedMs: number[] = [];
const pushedMs: number[] = [];
let errors = 0;
let lost = 0;

async function submit(): Promise<string> {
  const input = {
    panNumber: 'ABCDE1234F',
    monthlyIncomeInr: '75000.00',
    loanAmountInr: '500000.00',
    loanType: 'PERSONAL',
    idempotencyKey: randomUUID(),
  };
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query: submitDocument, variables: { input } }),
  });
  const result = (await response.json()) as { data: { submitApplication: { application: { id: string } } } };
  return result.data.submitApplication.application.id;
}

async function untilDecided(socket: (typeof sockets)[number], id: string): Promise<boolean> {
  const results = socket.iterate<{ applicationStatus: { final: boolean } }>({
    query: watchDocument,
    variables: { id },
  });
  const decided = (async () => {
    for await (const result of results) if (result.data?.applicationStatus.final) return true;
    return false;
  })();
  return Promise.race([decided, delay(decisionTimeoutMs, false, { ref: false })]);
}

async function one(index: number, dueAt: number): Promise<void> {
  const socket = sockets[index % sockets.length];
  if (!socket) throw new Error('--sockets must be at least 1');
  try {
    const id = await submit();
    acknowledgedMs.push(performance.now() - dueAt);
    if (await untilDecided(socket, id)) pushedMs.push(performance.now() - dueAt);
    else lost += 1;
  } catch {
    errors += 1;
  }
}

await submit().catch(() => {
  console.error(`${values.url} takes no submissions. Start it with npm start, or name another with --url.`);
  process.exit(1);
});

const warmUp = 200;
for (let index = 0; index < warmUp; index += 1) await one(index, performance.now());
acknowledgedMs.length = pushedMs.length = 0;

const startedAt = performance.now();
const running: Promise<void>[] = [];
for (let index = 0; performance.now() - startedAt < seconds * 1_000; index += 1) {
  if (rate === 0) {
    await one(index, performance.now());
    continue;
  }
  const dueAt = startedAt + (index * 1_000) / rate;
  const waitMs = dueAt - performance.now();
  if (waitMs > 1) await delay(waitMs);
  running.push(one(index, dueAt));
}
await Promise.all(running);
for (const socket of sockets) await socket.dispose();

console.log(
  `${pushedMs.length} decided, ${lost} lost, ${errors} errors, ${rate === 0 ? 'one at a time' : `${rate}/s`}`,
);
console.log(`request to acknowledgement  ${percentiles(acknowledgedMs)}`);
console.log(`request to pushed decision  ${percentiles(pushedMs)}`);
process.exitCode = lost + errors === 0 ? 0 : 1;
