import { fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

/** A process that was started to do what a document says, and that is ended when that takes too long. */
export type Aside = Disposable & {
  /** Sends a message, and hears what the process says until `isEnough`. One question at a time. */
  ask: (message: object | undefined, patience: Patience, isEnough: (said: unknown) => boolean) => Promise<Heard>;
  /** Resolves when it has ended, for whatever reason. */
  ended: Promise<unknown>;
};

/** Longest silences, milliseconds: before the first word, and after any other. */
type Patience = { firstMs: number; thenMs?: number };

/** All that was wanted, or why not: it ended, by itself or by its memory limit, or was not heard of in time. */
type Heard = 'enough' | 'ended' | 'too late';

/**
 * Starts a process of its own, which begins with `confine`: a document may run for ever, fill the memory or end the
 * process of the engine, and is nobody's program. Disposing ends it at once.
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
  const ended = Promise.race([once(child, 'exit'), once(child, 'error')]).catch(() => undefined);
  // Heard once for all questions: what each of them left at the promise would stay there until the process ends.
  let hasEnded = false;
  let onEnd: () => void = () => undefined;
  void ended.then(() => {
    hasEnded = true;
    onEnd();
  });
  return {
    ended,
    ask: async (message, { firstMs, thenMs = firstMs }, isEnough) => {
      const heard = Promise.withResolvers<Heard>();
      onEnd = () => heard.resolve('ended');
      if (hasEnded) onEnd();
      let timer: NodeJS.Timeout | undefined;
      const wait = (ms: number) => {
        clearTimeout(timer);
        // Were we ourselves suspended, the answer is there and not read yet.
        const afterReading = () => (timer = setTimeout(() => heard.resolve('too late'), 10));
        timer = setTimeout(afterReading, ms);
      };
      const listen = (said: unknown) => (isEnough(said) ? heard.resolve('enough') : wait(thenMs));
      child.on('message', listen);
      wait(firstMs);
      try {
        // What cannot be sent has no reader any more: it has ended, or is about to.
        if (message) child.send(message, () => undefined);
        return await heard.promise;
      } finally {
        onEnd = () => undefined;
        child.off('message', listen);
        clearTimeout(timer);
      }
    },
    [Symbol.dispose]: () => void child.kill('SIGKILL'),
  };
}
