import { fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** A process that was started to do what a document says, and that is ended when that takes too long. */
export type Aside = Disposable & {
  /** Sends a message and waits for the next one; null waits only. */
  ask: (message: object | null, timeoutMs: number) => Promise<Replied>;
};

/** What it said, or how it failed to: it ended, by itself or by its memory limit, or was not heard of in time. */
type Replied = { answer: unknown } | 'ended' | 'too late';

/**
 * Starts a process of its own, which begins with `confine`: a document may run for ever, fill the memory or end the
 * process of the engine, and is nobody's program. One question at a time; disposing ends it at once.
 */
export function startAside(
  /** a file beside this one */
  main: string,
  args: readonly string[] = [],
): Aside {
  const child = fork(path.join(import.meta.dirname, main), args, {
    // A formula is data from outside: nothing of our environment, such as a password, is there with it.
    env: {},
    execArgv: [],
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  // Also when it could not be started at all.
  const ended = Promise.race([once(child, 'exit'), once(child, 'error')]).then(
    () => 'ended' as const,
    () => 'ended' as const,
  );
  return {
    ask: async (message, timeoutMs) => {
      const settled = new AbortController();
      const { signal } = settled;
      const answered = once(child, 'message', { signal }).then(([answer]) => ({ answer: answer as unknown }));
      // Were we ourselves suspended, the answer is there and not read yet.
      const late = delay(timeoutMs, undefined, { signal }).then(() => delay(10, 'too late' as const, { signal }));
      for (const waiting of [answered, late]) waiting.catch(() => undefined);
      try {
        // What cannot be sent has no reader any more: it has ended, or is about to.
        if (message) child.send(message, () => undefined);
        return await Promise.race([answered, ended, late]);
      } finally {
        settled.abort();
      }
    },
    [Symbol.dispose]: () => void child.kill('SIGKILL'),
  };
}
