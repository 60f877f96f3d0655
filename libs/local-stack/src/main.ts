import { constants } from 'node:os';
import { parseArgs } from 'node:util';
import { startLocalStack } from './start.ts';
import { clustered, single } from './topology.ts';

// A key press reaches us twice when npm passes it on as well; only a later one means "at once".
const impatienceMs = 1_000;
// Longer than every server and service may take in order; beyond it something hangs.
const stopLimitMs = 60_000;

// The terminal may be gone (closed window, "| head"): what is still running must be stopped all the same.
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});

const pids = new Set<number>();
const stop = new AbortController();
let askedAt = 0;
let phase = 'start';

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (stop.signal.aborted) {
      if (performance.now() - askedAt > impatienceMs) killEverything(signal);
      return;
    }
    askedAt = performance.now();
    say('Stopping in order; press Ctrl-C again to stop at once.');
    setTimeout(() => killEverything(signal), stopLimitMs).unref();
    stop.abort(new Error('stopped'));
  });
}

try {
  const startedAt = performance.now();
  const { cluster } = parseArgs({ options: { cluster: { type: 'boolean', default: false } } }).values;
  say('Starting Prequal.');
  await using stack = await startLocalStack({
    env: process.env,
    topology: cluster ? clustered : single,
    log: say,
    signal: stop.signal,
    onSpawn: (pid, exited) => {
      pids.add(pid);
      void exited.then(() => pids.delete(pid)); // its id may soon belong to somebody else
    },
  });
  const { gatewayUrls, synthetic } = stack;
  phase = 'stop in order';
  say(
    `A synthetic application went through the whole path: ${synthetic.status} in ${Math.round(synthetic.elapsedMs)} ms.`,
  );
  say(
    `Prequal is ready after ${((performance.now() - startedAt) / 1000).toFixed(1)} s. ${process.env['NODE_ENV'] === 'production' ? 'API' : 'GraphiQL'}: ${gatewayUrls.map((url) => `${url}/graphql`).join(' and ')} (Ctrl-C stops everything)`,
  );
  await new Promise((resolve) => stop.signal.addEventListener('abort', resolve, { once: true }));
} catch (error) {
  if (!stop.signal.aborted || error !== stop.signal.reason) {
    console.error(`\nPrequal could not ${phase}. ${explain(error)}`);
    process.exitCode = 1;
  }
}
if (stop.signal.aborted) say('Stopped.');

function say(sentence: string): void {
  console.log(`prequal: ${sentence}`);
}

// Expected failures are plain errors with a sentence for people; anything else is a bug and shows where.
function explain(error: unknown): string {
  if (error instanceof SuppressedError) return `${explain(error.suppressed)}\nWhile stopping: ${explain(error.error)}`;
  if (!(error instanceof Error)) return String(error);
  return error.constructor === Error || error.name === 'ConfigError' ? error.message : (error.stack ?? error.message);
}

function killEverything(signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP'): never {
  for (const pid of pids) {
    try {
      process.kill(-pid, 'SIGKILL'); // the whole group: each child leads its own
    } catch {
      // It ended before.
    }
  }
  process.exit(128 + constants.signals[signal]);
}
