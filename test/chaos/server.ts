import { setTimeout as delay } from 'node:timers/promises';
import type { LocalServer } from '@prequal/local-stack';
import type { History } from './history.ts';

/** PostgreSQL or nats-server: it is started again by whoever stopped it. */
export type ManagedServer<Server extends LocalServer = LocalServer> = AsyncDisposable & {
  current: () => Server;
  signal: (signal: NodeJS.Signals) => void;
  /** Ends it with a signal, does what can only be done to a stopped server, and starts it again. */
  restart: (how: { signal: NodeJS.Signals; downMs: number; meanwhile?: () => Promise<void> }) => Promise<void>;
};

export async function manageServer<Server extends LocalServer>(
  name: string,
  start: (port: number) => Promise<Server>,
  history: History,
): Promise<ManagedServer<Server>> {
  let server = await start(0);
  const signal = (which: NodeJS.Signals) => {
    process.kill(server.pid, which);
  };
  return {
    current: () => server,
    signal,
    restart: async ({ signal: which, downMs, meanwhile }) => {
      signal(which);
      await server.exited;
      history.note('server down', name);
      await meanwhile?.();
      await delay(downMs);
      server = await start(server.port);
      history.note('server up', name);
    },
    [Symbol.asyncDispose]: async () => {
      signal('SIGCONT');
      await server[Symbol.asyncDispose]();
    },
  };
}
