import { rmSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { startLoad } from './load-process.ts';
import { type Options, readOptions, usage } from './options.ts';
import { readReport, writeReport } from './report/report.ts';
import type { ScenarioResult } from './result.ts';
import type { Bench } from './scenario.ts';
import { scenarios } from './scenarios/index.ts';
import { startServers } from './servers.ts';

if (process.argv.includes('--help')) {
  console.log(usage);
  process.exit(0);
}

let options: Options;
try {
  options = readOptions(process.argv.slice(2));
} catch (error) {
  console.error(`${(error as Error).message}\n\n${usage}`);
  process.exit(2);
}
const earlier = options.compare === undefined ? undefined : await readReport(options.compare).catch(cannotCompare);

function cannotCompare(error: Error): never {
  console.error(`--compare: ${options.compare} cannot be read as results.json of an earlier run (${error.message}).`);
  process.exit(2);
}

const startedAt = performance.now();
const elapsedSeconds = () => (performance.now() - startedAt) / 1_000;
const say = (sentence: string) => console.error(`${elapsedSeconds().toFixed(0).padStart(4)} s  ${sentence}`);

const folder = await mkdtemp(path.join(tmpdir(), 'prequal-bench-'));
await chmod(folder, 0o755);

// Servers and processes lead groups of their own, so that Ctrl-C reaches only us.
const pids = new Set<number>();
const onSpawn = (pid: number, exited: Promise<string>) => {
  pids.add(pid);
  void exited.then(() => pids.delete(pid));
};
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    for (const pid of pids) process.kill(-pid, 'SIGKILL');
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
    process.exit(130);
  });
}

async function measure(name: Options['only'][number], bench: Bench): Promise<ScenarioResult> {
  const begunAt = elapsedSeconds();
  const nothing = { figures: [], plots: [] };
  const measured = await scenarios[name](bench).catch((error: Error) => ({
    ...nothing,
    failures: [error.stack ?? error.message],
  }));
  return { scenario: name, seconds: Math.round(elapsedSeconds() - begunAt), ...measured };
}

const results: ScenarioResult[] = [];
try {
  say(`starting servers in ${folder}`);
  await using servers = await startServers({
    folder,
    onSpawn,
    profilesTo: options.profile ? path.join(options.out, 'profiles') : undefined,
  });
  await using load = await startLoad('load', onSpawn);
  for (const name of options.only) results.push(await measure(name, { servers, load, options, say }));
} finally {
  await rm(folder, { recursive: true, force: true, maxRetries: 3 });
}
const { markdown, written } = await writeReport(options, results, earlier);
console.log(markdown);
for (const file of written) console.log(`written: ${file}`);
const failed = results.filter(({ failures }) => failures.length > 0);
for (const { scenario, failures } of failed) {
  for (const failure of failures.slice(0, 10)) console.error(`${scenario} failed: ${failure}`);
}
say(failed.length === 0 ? 'done' : `${failed.map(({ scenario }) => scenario).join(', ')} failed`);
process.exitCode = failed.length === 0 ? 0 : 1;
