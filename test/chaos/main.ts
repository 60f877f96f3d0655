import { runChaos } from './chaos.ts';
import { type Options, readOptions, usage } from './options.ts';
import { storyOf, summaryOf } from './report.ts';

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

const startedAt = performance.now();
const say = (sentence: string) => {
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(0).padStart(4);
  console.error(`${seconds} s  ${sentence}`);
};

// Servers and services lead process groups of their own, so that Ctrl-C reaches only us.
const pids = new Set<number>();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    for (const pid of pids) process.kill(-pid, 'SIGKILL');
    process.exit(130);
  });
}
const onSpawn = (pid: number, exited: Promise<string>) => {
  pids.add(pid);
  void exited.then(() => pids.delete(pid));
};

const { result, history } = await runChaos(options, { say, onSpawn });
const print = options.json ? console.error : console.log;
for (const line of summaryOf(result)) print(line);
if (result.violations.length > 0) for (const line of storyOf(result, history)) print(line);
if (options.json) console.log(JSON.stringify(result, null, 2));
process.exitCode = result.violations.length === 0 ? 0 : 1;
