import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { readReadyFile } from '@prequal/local-stack';
import { connectBroker } from '@prequal/messaging';
import { openDatabase, sql } from '@prequal/persistence';
import { backoffMs, createLog } from '@prequal/service';
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

const count = {
  submitted: 0,
  repeated: 0,
  notAcknowledged: 0,
  sawTheEnd: 0,
  watchesEnded: 0,
  watchesTooLong: 0,
  versionsWrong: 0,
};
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
    signal: AbortSignal.timeout(30_000),
  });
  const result = (await response.json()) as { data: { submitApplication: { application: { id: string } } } };
  return result.data.submitApplication.application.id;
}

async function submit(url: string): Promise<string | undefined> {
  const key = randomUUID();
  const deadline = performance.now() + giveUpMs;
  for (let attempt = 1; performance.now() < deadline; attempt += 1) {
    try {
      return await submitOnce(url, key);
    } catch {
      count.repeated += 1;
      await delay(backoffMs(attempt, { baseMs: 250, maxMs: 10_000 }));
    }
  }
  return undefined;
}

type Watched = 'sawTheEnd' | 'watchesEnded' | 'watchesTooLong';

async function watch(socket: Client, id: string): Promise<Watched> {
  let last = 0;
  const results = socket.iterate<{ applicationStatus: { version: number; final: boolean } }>({
    query: watchDocument,
    variables: { id },
  });
  const watched = (async (): Promise<Watched> => {
    for await (const { data } of results) {
      if (!data) return 'watchesEnded';
      if (data.applicationStatus.version <= last) count.versionsWrong += 1;
      last = data.applicationStatus.version;
      if (data.applicationStatus.final) return 'sawTheEnd';
    }
    return 'watchesEnded';
  })();
  const ended = watched.catch((): Watched => 'watchesEnded');
  return Promise.race([ended, delay(giveUpMs, 'watchesTooLong' as const, { ref: false })]);
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
  const outcome = await watch(socket, id);
  count[outcome] += 1;
  if (outcome === 'sawTheEnd') pushedMs.push(performance.now() - dueAt);
}

/** By the name that the leader goes by and the process that has this name now. Throws when there is no leader. */
async function killLeaderOf(stream: string): Promise<void> {
  const { jsm } = await broker.jetStream();
  const leader = (await jsm.streams.info(stream)).cluster?.leader;
  const pids = ((await readReadyFile(dataDir)) ?? ready)?.pids;
  const places = [pids?.nats, pids?.['nats-2'], pids?.['nats-3']];
  for (const [index, pid] of places.entries()) {
    const name = await readFile(path.join(dataDir, 'nats-cluster', String(index + 1), 'server-name'), 'utf8');
    if (name.trim() !== leader || !pid) continue;
    process.kill(pid, 'SIGKILL');
    const afterSeconds = Math.round((performance.now() - startedAt) / 1_000);
    console.log(`after ${afterSeconds} s killed server ${index + 1}, the leader of ${stream}`);
    return;
  }
  throw new Error(`${stream} has no leader`);
}

async function killNowAndThen(): Promise<number> {
  const streams = ['LOAN_APPLICATIONS', 'LOAN_CREDIT_REPORTS', 'LOAN_STATUS'];
  let killed = 0;
  for (let time = 1; time <= kills; time += 1) {
    const dueAt = startedAt + (time * seconds * 1_000) / (kills + 1);
    await delay(Math.max(0, dueAt - performance.now()));
    // A stream may have no leader at this moment.
    for (let done = false; !done && performance.now() < dueAt + giveUpMs; ) {
      done = await killLeaderOf(streams[time % streams.length] ?? '').then(
        () => true,
        () => delay(500, false),
      );
      if (done) killed += 1;
    }
  }
  return killed;
}

const startedAt = performance.now();
const killing = killNowAndThen();
const running: Promise<void>[] = [];
for (let index = 0; performance.now() - startedAt < seconds * 1_000; index += 1) {
  const dueAt = startedAt + (index * 1_000) / rate;
  const waitMs = dueAt - performance.now();
  // Also when late: answers must be read between the requests.
  await (waitMs > 1 ? delay(waitMs) : nextTurn());
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
