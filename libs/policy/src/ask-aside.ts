import { fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

/**
 * Asks one question of a process of its own with low priority, which is ended afterwards: a document may run for
 * ever, or end the process of the engine, and is nobody's program. Answers what it said, or how it failed to.
 */
export async function askAside(
  /** a file beside this one */
  main: string,
  request: object,
  timeoutMs: number,
): Promise<{ answer: unknown } | 'ended' | 'too late'> {
  const child = fork(path.join(import.meta.dirname, main), {
    // A formula is data from outside: nothing of our environment, such as a password, is there with it.
    env: {},
    execArgv: [],
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  try {
    const timeout = AbortSignal.timeout(timeoutMs);
    const late = once(timeout, 'abort').then(() => 'too late' as const);
    const answered = once(child, 'message').then(([answer]) => ({ answer: answer as unknown }));
    const ended = once(child, 'exit').then(() => 'ended' as const);
    child.send(request);
    return await Promise.race([answered, ended, late]);
  } finally {
    child.kill('SIGKILL');
  }
}
