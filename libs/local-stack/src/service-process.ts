import { spawn } from 'node:child_process';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { OnSpawn, RunningProcess } from './local-server.ts';
import { exitOf, stopProcess } from './processes.ts';

export type ServiceOptions = {
  /** For the log and errors: "gateway", "gateway-2". */
  name: string;
  /** Folder of the service in the repository, when it is not the name; its entry is `<service>/src/main.ts`. */
  service?: string;
  /** Another entry file, absolute. */
  entry?: string;
  /** File descriptor that takes what it writes; without it that goes where ours goes. */
  output?: number;
  repoRoot: string;
  env: NodeJS.ProcessEnv;
  signal?: AbortSignal | undefined;
  timeoutMs?: number;
  onSpawn?: OnSpawn;
};

export type ServiceProcess = RunningProcess & {
  name: string;
  /** Where it listens, e.g. http://127.0.0.1:4000 */
  address: string;
};

const defaultTimeoutMs = 30_000;
const pollMs = 50;

// A service drains for up to ten seconds.
const stopSteps = [
  { signal: 'SIGTERM', waitMs: 12_000 },
  { signal: 'SIGKILL', waitMs: 5_000 },
] as const;

/** The entry file of a service; also how a left-over process is recognised as one. */
export function serviceEntry(repoRoot: string, name: string): string {
  return path.join(repoRoot, name, 'src', 'main.ts');
}

/**
 * Starts one service as a process of its own and returns once it has told, over IPC, where it listens:
 * `process.send({ listening: 'http://127.0.0.1:4000' })`. When this process dies, IPC closes and the
 * service ends itself. Throws when it ends before, or says nothing for 30 s (default); it is stopped then.
 */
export async function startService(options: ServiceOptions): Promise<ServiceProcess> {
  const { name, service = name, repoRoot, env, signal, timeoutMs = defaultTimeoutMs, onSpawn } = options;
  const { entry = serviceEntry(repoRoot, service), output = 'inherit' } = options;
  signal?.throwIfAborted();
  const child = spawn(process.execPath, [entry], {
    cwd: repoRoot,
    env,
    // Its own process group: Ctrl-C reaches only the runner, which stops everything in order.
    detached: true,
    stdio: ['ignore', output, output, 'ipc'],
  });
  const exited = exitOf(child);
  const { pid } = child;
  if (pid === undefined) throw new Error(`${name} could not be started: ${await exited}`);
  onSpawn?.(pid, exited);
  // The channel must not keep this process alive once everything else is done.
  child.channel?.unref();
  const stop = () => stopProcess(pid, [...stopSteps], exited);

  const listening = new Promise<string>((resolve) => {
    child.on('message', (message) => {
      const address = (message as { listening?: unknown } | null)?.listening;
      if (typeof address === 'string') resolve(address);
    });
  });
  const limit = limitOf(timeoutMs, signal);
  const outcome = await Promise.race([
    listening.then((address) => ({ address })),
    exited.then((reason) => ({ failure: `ended while starting (${reason}); its log tells why` })),
    limit.reached.then(() => ({ failure: `did not tell its address within ${timeoutMs / 1000} s` })),
  ]);
  limit.clear();
  if ('address' in outcome) return { name, pid, address: outcome.address, exited, [Symbol.asyncDispose]: stop };
  await stop();
  signal?.throwIfAborted();
  throw new Error(`The service ${name} ${outcome.failure}.`);
}

/**
 * Waits until `GET <address>/readyz` answers 200, asking every 50 ms, for at most 30 s (default). Returns
 * undefined when it is ready, else its last answer. Throws when the service ends before or on abort.
 */
export async function untilServiceReady(
  service: ServiceProcess,
  { signal, timeoutMs = defaultTimeoutMs }: { signal?: AbortSignal | undefined; timeoutMs?: number } = {},
): Promise<string | undefined> {
  let gone: string | undefined;
  void service.exited.then((reason) => (gone = reason));
  let last = 'no answer';
  for (const deadline = Date.now() + timeoutMs; Date.now() < deadline; await delay(pollMs)) {
    signal?.throwIfAborted();
    if (gone !== undefined)
      throw new Error(`The service ${service.name} ended while starting (${gone}); its log tells why.`);
    try {
      const response = await fetch(`${service.address}/readyz`, { signal: AbortSignal.timeout(2_000) });
      const body = await response.text();
      if (response.ok) return undefined;
      last = `${response.status} ${body.trim().slice(0, 300)}`;
    } catch (error) {
      last = ((error as Error).cause as Error | undefined)?.message ?? (error as Error).message;
    }
  }
  return last;
}

function limitOf(timeoutMs: number, signal?: AbortSignal): { reached: Promise<void>; clear: () => void } {
  const done = new AbortController();
  const signals = signal ? [done.signal, signal] : [done.signal];
  const reached = delay(timeoutMs, undefined, { signal: AbortSignal.any(signals) }).catch(() => undefined);
  return { reached, clear: () => done.abort() };
}
