import { fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import type { OnSpawn } from '@prequal/local-stack';
import type { Jobs, Reply } from './load/protocol.ts';
import type { Metered } from './usage.ts';

/** A process of clients. It does one thing at a time. */
export type LoadProcess = AsyncDisposable & {
  metered: Metered;
  run: <Job extends keyof Jobs>(job: Job, options: Jobs[Job][0]) => Promise<Jobs[Job][1]>;
};

export async function startLoad(name: string, onSpawn: OnSpawn): Promise<LoadProcess> {
  const child = fork(path.join(import.meta.dirname, 'load', 'main.ts'), { detached: true, execArgv: [] });
  const exited = new Promise<string>((resolve) =>
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`)),
  );
  await once(child, 'spawn');
  const pid = child.pid ?? 0;
  onSpawn(pid, exited);
  return {
    metered: { name, pid },
    run: async (job, options) => {
      child.send({ job, options });
      const answer = new Promise<Reply>((resolve) => child.once('message', (reply) => resolve(reply as Reply)));
      const ended = exited.then((reason): Reply => ({ error: `the load process ended (${reason})` }));
      const reply = await Promise.race([answer, ended]);
      if ('error' in reply) throw new Error(`${name}: ${reply.error}`);
      return reply.result as never;
    },
    [Symbol.asyncDispose]: async () => {
      if (child.connected) child.disconnect();
      await exited;
    },
  };
}
