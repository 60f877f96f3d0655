import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { connectBroker } from '@prequal/messaging';
import { openDatabase } from '@prequal/persistence';
import { createLog } from '@prequal/service';
import { type Announced, announce } from '../announce.ts';
import { storePending } from '../fill.ts';
import { gaugesOf } from '../gauges.ts';
import { createRecorder, type Plot, type Recorder } from '../result.ts';
import type { Bench, Scenario } from '../scenario.ts';
import { type System, startSystem } from '../system.ts';
import { usageOf } from '../usage.ts';

const levels = [1_000, 5_000, 10_000, 18_000];
const quickLevels = [250];
const hotWatchers = 5_000;
const sseWatchers = 2_000;
const repeats = 5;
const patienceMs = 60_000;
const settleMs = 1_000;

/** Those who watch and are told nothing, what one status for each takes, and one status for all. */
export const watchers: Scenario = async (bench) => {
  const { options } = bench;
  const recorder = createRecorder();
  const failures: string[] = [];
  const parts: Part[] = [{ transport: 'ws', levels: options.quick ? quickLevels : levels, recorder, failures }];
  if (!options.quick) parts.push({ transport: 'sse', levels: [sseWatchers / 2, sseWatchers], recorder, failures });
  const series: Plot['series'] = [];
  for (const part of parts) {
    series.push(await idle(bench, part));
    await tellEach(bench, part);
  }
  if (!options.quick) await hotApplication(bench, recorder, failures);
  const plot: Plot = {
    file: 'memory-watchers',
    title: "The gateway's memory over idle watchers",
    x: 'watchers',
    y: 'MB',
    series,
  };
  return { figures: recorder.figures(), plots: [plot], failures };
};

type Part = { transport: 'ws' | 'sse'; levels: readonly number[]; recorder: Recorder; failures: string[] };

/** What those cost who are told nothing. */
async function idle(bench: Bench, { transport, levels: wanted, recorder, failures }: Part) {
  const { load, options, say } = bench;
  await using system = await startWatched(bench, `watchers-${transport}`);
  const applications = await storeFor(system, wanted.at(-1) ?? 0);
  const empty = await memoryOf(system);
  const points: [number, number][] = [[0, empty.resident / 1e6]];
  let open = 0;
  for (const level of wanted) {
    say(`watchers: ${level} over ${transport}`);
    const openedAt = performance.now();
    failures.push(...(await openThese(bench, system, transport, applications.slice(open, level))));
    const seconds = (performance.now() - openedAt) / 1_000;
    recorder.add(`${transport}, ${level}: opened`, 'watchers/s', (level - open) / seconds);
    open = level;
    const { resident, held } = await memoryOf(system);
    points.push([level, resident / 1e6]);
    const each = (now: number, before: number) => (now - before) / level / 1_000;
    recorder.add(`${transport}, ${level}: memory of a watcher, resident`, 'KB', each(resident, empty.resident));
    recorder.add(`${transport}, ${level}: memory of a watcher, held`, 'KB', each(held, empty.held));
    const share = await idleShare(system, options.quick ? 1 : 10);
    recorder.add(`${transport}, ${level}: idle CPU of the gateway`, '% of a core', share);
  }
  await load.run('watchers', { do: 'close' });
  return { name: transport === 'ws' ? 'WebSocket' : 'SSE', points };
}

/** How long it takes until each is told its own status. */
async function tellEach(bench: Bench, { transport, levels: wanted, recorder, failures }: Part): Promise<void> {
  const { load, options, say } = bench;
  await using system = await startWatched(bench, `told-${transport}`);
  const applications = await storeFor(system, wanted.at(-1) ?? 0);
  const times = options.repeats ?? (options.quick ? 2 : repeats);
  let open = 0;
  for (const level of wanted) {
    say(`watchers: a status for each of ${level} over ${transport}`);
    failures.push(...(await openThese(bench, system, transport, applications.slice(open, level))));
    open = level;
    for (let repeat = 1; repeat <= times; repeat += 1) {
      const { halfMs, lastMs, faults } = await tell(bench, system, applications.slice(0, level));
      failures.push(...faults);
      recorder.add(`${transport}, ${level}: one status for each, until half are told`, 'ms', halfMs);
      recorder.add(`${transport}, ${level}: one status for each, until the last is told`, 'ms', lastMs);
    }
  }
  await load.run('watchers', { do: 'close' });
}

async function openThese(
  { load }: Bench,
  { url }: System,
  transport: Part['transport'],
  applications: readonly Announced[],
): Promise<string[]> {
  const { faults } = await load.run('watchers', {
    do: 'open',
    url,
    transport,
    ids: applications.map(({ id }) => id),
  });
  return faults;
}

async function hotApplication(bench: Bench, recorder: Recorder, failures: string[]): Promise<void> {
  const { load, options, say } = bench;
  const times = options.repeats ?? repeats;
  say(`watchers: ${hotWatchers} of one application`);
  await using system = await startWatched(bench, 'watchers-hot');
  const hot = await storeFor(system, 1);
  failures.push(...(await openThese(bench, system, 'ws', Array.from({ length: hotWatchers }, () => hot).flat())));
  for (let repeat = 1; repeat <= times; repeat += 1) {
    const told = await tell(bench, system, hot);
    failures.push(...told.faults);
    recorder.add(`one application, ${hotWatchers} watchers: until half are told`, 'ms', told.halfMs);
    recorder.add(`one application, ${hotWatchers} watchers: until the last is told`, 'ms', told.lastMs);
  }
  await load.run('watchers', { do: 'close' });
}

// Nothing is to come between that is not measured: these wait for ever, and nobody looks why.
function startWatched({ servers }: Bench, name: string): Promise<System> {
  const env = {
    RECONCILE_AFTER_MS: '3600000',
    NODE_OPTIONS: `--expose-gc --import=${import.meta.resolve('../../test/chaos/collect-on-signal.ts')}`,
  };
  return startSystem(servers, { name, workers: false, env });
}

async function storeFor({ database }: System, count: number): Promise<Announced[]> {
  await using owner = await openDatabase({ databaseUrl: database.owner, poolMax: 1, applicationName: 'bench' });
  const applications = Array.from({ length: count }, () => ({ id: randomUUID(), version: 1 }));
  await storePending(
    owner,
    applications.map(({ id }) => id),
  );
  return applications;
}

/** What the gateway holds once its garbage is gone, and what the system has given it. */
async function memoryOf({ gateway }: System): Promise<{ resident: number; held: number }> {
  await delay(settleMs);
  process.kill(gateway.pid, 'SIGUSR2');
  await delay(settleMs);
  const { heldBytes } = await gaugesOf(gateway.address);
  const usage = await usageOf([{ name: 'gateway', pid: gateway.pid }]);
  return { resident: usage.get('gateway')?.memoryBytes ?? Number.NaN, held: heldBytes };
}

async function idleShare({ gateway }: System, seconds: number): Promise<number> {
  const process = [{ name: 'gateway', pid: gateway.pid }];
  const before = await usageOf(process);
  await delay(seconds * 1_000);
  const now = await usageOf(process);
  return ((now.get('gateway')?.cpuMs ?? Number.NaN) - (before.get('gateway')?.cpuMs ?? 0)) / (seconds * 10);
}

async function tell({ load }: Bench, { nats }: System, applications: readonly Announced[]) {
  await using broker = connectBroker({ natsUrl: nats.admin, name: 'bench', log: createLog('bench', 'fatal') });
  await broker.jetStream();
  await load.run('watchers', { do: 'expect' });
  const awaited = load.run('watchers', { do: 'await', patienceMs });
  const begunAt = performance.timeOrigin + performance.now();
  await announce(broker, applications);
  const { toldAt, faults } = await awaited;
  return { halfMs: toldAt.p50 - begunAt, lastMs: toldAt.max - begunAt, faults };
}
