import { closeSync, openSync } from 'node:fs';
import { type OnSpawn, type ServiceProcess, startService, supervise } from '@prequal/local-stack';
import { exitCode as plantedExitCode } from './faulty-bureau.ts';
import type { History } from './history.ts';

export type ServiceKind = 'gateway' | 'scoring' | 'decisioning';

/** One service process that is started again whenever it ends, as an orchestrator does. */
export type ManagedService = AsyncDisposable & {
  name: string;
  kind: ServiceKind;
  address: string;
  /** False when there is no process to send it to, e.g. because it is being started again. */
  signal: (signal: NodeJS.Signals) => boolean;
  /** Sends SIGTERM and resolves when a new process serves. */
  replace: () => Promise<void>;
  /** ends that nobody asked for, and stops that were not in order */
  wrongExits: string[];
};

export type ServiceOptions = {
  name: string;
  kind: ServiceKind;
  entry: string | undefined;
  env: NodeJS.ProcessEnv;
  repoRoot: string;
  logFile: string;
  history: History;
  onSpawn: OnSpawn;
};

const stopLimitMs = 15_000;
const backoff = { firstMs: 100, longestMs: 1_000, settledAfterMs: 5_000 };

type Asked = { signals: Set<NodeJS.Signals>; termAtMs: number };

export async function manageService(options: ServiceOptions): Promise<ManagedService> {
  const { name, kind, entry, env, repoRoot, logFile, history } = options;
  const wrongExits: string[] = [];
  const asked = new Map<number, Asked>();
  let current: ServiceProcess | undefined;
  let started = Promise.withResolvers<void>();
  let disposing = false;

  async function launch(until?: AbortSignal): Promise<ServiceProcess> {
    const output = openSync(logFile, 'a');
    try {
      const service = await startService({
        name: kind,
        repoRoot,
        env,
        output,
        signal: until,
        ...(entry && { entry }),
        onSpawn,
      });
      history.note('process serves', name, { pid: service.pid });
      current = service;
      started.resolve();
      started = Promise.withResolvers();
      return service;
    } finally {
      closeSync(output);
    }
  }

  function onSpawn(pid: number, exited: Promise<string>): void {
    options.onSpawn(pid, exited);
    asked.set(pid, { signals: new Set(), termAtMs: 0 });
    void exited.then((reason) => {
      if (current?.pid === pid) current = undefined;
      const wrong = disposing ? undefined : whatIsWrong(reason, asked.get(pid), history.nowMs());
      history.note('process ended', name, { pid, reason, ...(wrong && { wrong }) });
      if (wrong) wrongExits.push(`process ${pid}: ${wrong}`);
      asked.delete(pid);
    });
  }

  function signal(which: NodeJS.Signals): boolean {
    if (!current) return false;
    const noted = asked.get(current.pid);
    noted?.signals.add(which);
    if (which === 'SIGTERM' && noted) noted.termAtMs = history.nowMs();
    process.kill(current.pid, which);
    return true;
  }

  const first = await launch();
  const supervised = supervise({
    name,
    first,
    start: launch,
    onRestart: () => undefined,
    log: (sentence) => history.note('supervisor', name, { sentence }),
    backoff,
  });
  return {
    name,
    kind,
    address: first.address,
    signal,
    wrongExits,
    replace: async () => {
      const again = started.promise;
      if (signal('SIGTERM')) await again;
    },
    [Symbol.asyncDispose]: async () => {
      disposing = true;
      signal('SIGCONT');
      await supervised[Symbol.asyncDispose]();
    },
  };
}

function whatIsWrong(reason: string, asked: Asked | undefined, nowMs: number): string | undefined {
  if (asked?.signals.has('SIGKILL') && reason === 'SIGKILL') return undefined;
  if (reason === `exit code ${plantedExitCode}`) return undefined;
  if (!asked?.signals.has('SIGTERM')) return `ended by itself (${reason})`;
  if (reason !== 'exit code 0') return `did not stop in order after SIGTERM (${reason})`;
  // A process that was suspended meanwhile could not stop in time.
  const tookMs = nowMs - asked.termAtMs;
  if (tookMs > stopLimitMs && !asked.signals.has('SIGSTOP')) return `took ${tookMs} ms to stop after SIGTERM`;
  return undefined;
}
