import { setTimeout as delay } from 'node:timers/promises';
import type { Log, RunningProcess } from './local-server.ts';

export type SuperviseOptions<P extends RunningProcess> = {
  /** For the log: "gateway", "PostgreSQL". */
  name: string;
  /** The process as it runs now. */
  first: P;
  /** Starts it again; must give up soon when the signal fires, leaving nothing behind. */
  start: (signal: AbortSignal) => Promise<P>;
  /** Called after each restart. A rejection is logged, never fatal. */
  onRestart: (restarted: P) => void | Promise<void>;
  log: Log;
  backoff?: Backoff;
};

/** Delays double from the first to the longest, and begin anew after a process has lived long enough. */
type Backoff = { firstMs: number; longestMs: number; settledAfterMs: number };

const defaultBackoff: Backoff = { firstMs: 200, longestMs: 5_000, settledAfterMs: 30_000 };

/**
 * Keeps one process alive: when it dies without being asked to, it is started again, for ever, with
 * growing delays. Disposing stops the watching first and the process then.
 */
export function supervise<P extends RunningProcess>(options: SuperviseOptions<P>): AsyncDisposable {
  const { name, first, start, onRestart, log, backoff = defaultBackoff } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  let current: P | undefined = first;
  let waitMs = backoff.firstMs;

  async function restart(): Promise<P | undefined> {
    for (;;) {
      await delay(waitMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return undefined;
      waitMs = Math.min(waitMs * 2, backoff.longestMs);
      try {
        return await start(signal);
      } catch (error) {
        if (!signal.aborted) log(`${name} could not be started again: ${(error as Error).message}`);
      }
    }
  }

  async function watch(): Promise<void> {
    let startedAt = performance.now();
    while (current) {
      const reason = await Promise.race([current.exited, aborted(signal)]);
      if (signal.aborted) return;
      current = undefined;
      if (performance.now() - startedAt > backoff.settledAfterMs) waitMs = backoff.firstMs;
      log(`${name} ended unexpectedly (${reason}); starting it again.`);
      current = await restart();
      if (!current) return;
      startedAt = performance.now();
      // A stop may have come while it was starting: then it is only there to be stopped.
      if (signal.aborted) return;
      log(`${name} runs again (process ${current.pid}).`);
      try {
        await onRestart(current);
      } catch (error) {
        log(`The restart of ${name} could not be noted: ${(error as Error).message}`);
      }
    }
  }

  const watching = watch();
  return {
    async [Symbol.asyncDispose]() {
      stopping.abort();
      await watching;
      await current?.[Symbol.asyncDispose]();
    },
  };
}

function aborted(signal: AbortSignal): Promise<string> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve('stopping');
    else signal.addEventListener('abort', () => resolve('stopping'), { once: true });
  });
}
