import { setTimeout as delay } from 'node:timers/promises';

/**
 * Does a piece of work again and again until it is disposed, which waits for what is under way. The work says how
 * long to pause after it, milliseconds; it must not throw.
 */
export function repeatedly(work: (stopping: AbortSignal) => Promise<number>): AsyncDisposable {
  const stopping = new AbortController();
  const { signal } = stopping;
  const running = (async () => {
    while (!signal.aborted) {
      const pauseMs = await work(signal);
      await delay(pauseMs, undefined, { signal }).catch(() => undefined);
    }
  })();
  return {
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await running;
    },
  };
}
