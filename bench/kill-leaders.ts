import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { readReadyFile } from '@prequal/local-stack';
import { connectBroker } from '@prequal/messaging';
import { openDatabase, sql } from '@prequal/persistence';
import { createLog } from '@prequal/service';
import { type Client, createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { percentiles } from './percentiles.ts';

/**
 * Load on the cluster of `npm run start:cluster`, while the leader of a stream is killed again and again; then
 * the count of what was lost. Each application is submitted at one gateway and watched at the other, and a
 * submission that fails is repeated with its idempotency key, as a client does. Open loop, as watch-latency.
 *
 *   node bench/kill-leaders.ts --rate 100 --seconds 300 --kills 5
 */
const { values } = parseArgs({
  options: {
    'data-dir': { type: 'string', default: process.env['PREQUAL_DATA_DIR'] ?? '.data' },
    rate: { type: 'string', default: '100' },
    seconds: { type: 'string', default: '300' },
    kills: { type: 'string', default: '5' },
    sockets: { type: 'string', default: '20' },
  },
});
const [rate, seconds, kills] = [Number(values.rate), Number(values.seconds), Number(values.kills)];
const dataDir = path.resolve(values['data-dir']);
const giveUpMs = 90_000;

const ready = await readReadyFile(dataDir);
if (!ready?.gatewayUrls) throw new Error(`No cluster runs on ${dataDir}. Start it with npm run start:cluster.`);
const urls = ready.gatewayUrls.map((url) => `${url}/graphql`);
const sockets = Array.from({ length: Number(values.sockets) }, (_, index) =>
  createClient({
    url: (urls[index % urls.length] ?? '').replace(/^http/, 'ws'),
    webSocketImpl: WebSocket,
    retryAttempts: 1_000,
    lazyCloseTimeout: 5_000,
  }),
);
const log = createLog('kill-leaders', 'fatal');
await using broker = connectBroker({ natsUrl: ready.natsUrl, name: 'kill-leaders', log });
await using database = await openDatabase({ databaseUrl: ready.databaseUrl, poolMax: 1, applicationName: 'bench' });

const count = { submitted: 0, repeated: 0, notAcknowledged: 0, sawTheEnd: 0, watchersLost: 0, versionsWrong: 0 };
const acknowledged: string[] = [];
const acknowledgedMs: number[] = [];
const pushedMs: number[] = [];
const submitDocument = `mutation ($input: SubmitApplicationInput!) { submitApplication(input: $input) { application { id } } }`;
const watchDocument = `subscription ($id: ID!) { applicationStatus(id: $id) { version final } }`;

async function submitOnce(url: string, idempotencyKey: string): Promise<string> {
  const input = {
    panNumber: 'ABCDE1234F',
    monthlyIncomeInr: '75000.00',
    loanAmountInr: '500000.00',
    loanType: 'PERSONAL',
    idempotencyKey,
  };
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query: submitDocument, variables: { input } }),
    signal: AbortSignal.timeout(10_000),
  });
  const result = (await response.json()) as { data: { submitApplication: { application: { id: string } } } };
  return result.data.submitApplication.application.id;
}

async function submit(url: string): Promise<string | undefined> {
  const key = randomUUID();
  for (const deadline = performance.now() + giveUpMs; performance.now() < deadline; await delay(250)) {
    try {
      return await submitOnce(url, key);
    } catch {
      count.repeated += 1;
    }
  }
  return undefined;
}

async function sawTheEnd(socket: Client, id: string): Promise<boolean> {
  let last = 0;
  const results = socket.iterate<{ applicationStatus: { version: number; final: boolean } }>({
    query: watchDocument,
    variables: { id },
  });
  const watched = (async () => {
    for await (const { data } of results) {
      if (!data) return false;
      if (data.applicationStatus.version <= last) count.versionsWrong += 1;
      last = data.applicationStatus.version;
      if (data.applicationStatus.final) return true;
    }
    return false;
  })();
  return Promise.race([watched.catch(() => false), delay(giveUpMs, false, { ref: false })]);
}

async function one(index: number, dueAt: number): Promise<void> {
  count.submitted += 1;
  // Sockets and gateways alternate, so the next gateway is the other one.
  const socket = sockets[index % sockets.length];
  const id = await submit(urls[(index + 1) % urls.length] ?? '');
  if (!socket || id === undefined) {
    count.notAcknowledged += 1;
    return;
  }
  acknowledged.push(id);
  acknowledgedMs.push(performance.now() - dueAt);
  if (await sawTheEnd(socket, id)) {
    pushedMs.push(performance.now() - dueAt);
    count.sawTheEnd += 1;
  } else count.watchersLost += 1;
}

/** The names that the servers go by, and the processes they are now. */
async function killLeaderOf(stream: string): Promise<void> {
  const { jsm } = await broker.jetStream();
  const leader = (await jsm.streams.info(stream)).cluster?.leader;
  const { pids } = (await readReadyFile(dataDir)) ?? ready ?? { pids: {} };
  const places = [pids.nats, pids['nats-2'], pids['nats-3']];
  for (const [index, pid] of places.entries()) {
    const name = await readFile(path.join(dataDir, 'nats-cluster', String(index + 1), 'server-name'), 'utf8');
    if (name.trim() !== leader || !pid) continue;
    process.kill(pid, 'SIGKILL');
    console.log(`killed server ${index + 1}, the leader of ${stream}`);
    return;
  }
  throw new Error(`${stream} has no leader`);
}

async function killNowAndThen(): Promise<number> {
  const streams = ['LOAN_APPLICATIONS', 'LOAN_CREDIT_REPORTS', 'LOAN_STATUS'];
  let killed = 0;
  for (let time = 0; time < kills; time += 1) {
    await delay((seconds * 1_000) / (kills + 1));
    // A stream may have no leader at this moment.
    for (let attempt = 0; attempt < 20 && killed === time; attempt += 1) {
      await killLeaderOf(streams[time % streams.length] ?? '').then(
        () => (killed += 1),
        () => delay(500),
      );
    }
  }
  return killed;
}

const killing = killNowAndThen();
const startedAt = performance.now();
const running: Promise<void>[] = [];
for (let index = 0; performance.now() - startedAt < seconds * 1_000; index += 1) {
  const dueAt = startedAt + (index * 1_000) / rate;
  const waitMs = dueAt - performance.now();
  if (waitMs > 1) await delay(waitMs);
  running.push(one(index, dueAt));
}
const killed = await killing;
await Promise.all(running);
for (const socket of sockets) await socket.dispose();

const { rows } = await sql<{ stored: number; pending: number; decisions: number }>`
  select count(*)::int as stored, (count(*) filter (where a.status = 'PENDING'))::int as pending,
    count(d.application_id)::int as decisions
  from applications a left join decisions d on d.application_id = a.id
  where a.id = any(${acknowledged}::uuid[])`.execute(database.sql());
const found = { acknowledged: acknowledged.length, ...rows[0] };
console.log({ killed, ...count, ...found });
console.log(`request to acknowledgement  ${percentiles(acknowledgedMs)}`);
console.log(`request to pushed decision  ${percentiles(pushedMs)}`);
const complete = [found.acknowledged, found.stored, found.decisions, count.sawTheEnd].every(
  (number) => number === count.submitted,
);
process.exitCode = complete && count.versionsWrong === 0 && killed === kills ? 0 : 1;
