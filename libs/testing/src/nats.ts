import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startNatsServer } from '@prequal/local-stack';
import { type Broker, connectBroker } from '@prequal/messaging';
import { inject, vi } from 'vitest';
import { quiet } from './log.ts';

/** A nats-server of its own with an empty JetStream. Disposing it fails when somebody is still connected. */
export type TestNats = AsyncDisposable & {
  url: string;
  /** Stops the server; disposing the answer starts it again, on the same port and with its streams. */
  away: () => Promise<AsyncDisposable>;
  /** The same, and everything it had stored is gone when it starts again. */
  wiped: () => Promise<AsyncDisposable>;
  /** A connection of the test's own. */
  broker: Broker;
  /** What the server knows: connections by name with their subscriptions. */
  connections: () => Promise<{ name: string; subscriptions: string[] }[]>;
};

export async function startTestNats(): Promise<TestNats> {
  const folder = await mkdtemp(join(tmpdir(), 'prequal-nats-'));
  const start = (port: number) => startNatsServer({ binary: inject('natsServerBinary'), storeDir: folder, port });
  let server = await start(0);
  const broker = connectBroker({ natsUrl: server.url, name: 'test', log: quiet });
  const connections = async () => {
    const answer = await fetch(`${server.monitorUrl}/connz?subs=1`);
    const { connections: known } = (await answer.json()) as {
      connections: { name?: string; subscriptions_list?: string[] }[];
    };
    return known.map(({ name, subscriptions_list }) => ({ name: name ?? '', subscriptions: subscriptions_list ?? [] }));
  };
  const away = async () => {
    await server[Symbol.asyncDispose]();
    return {
      [Symbol.asyncDispose]: async () => {
        server = await start(server.port);
      },
    };
  };
  return {
    url: server.url,
    away,
    wiped: async () => {
      const outage = await away();
      await rm(join(folder, 'jetstream'), { recursive: true });
      return outage;
    },
    broker,
    connections,
    [Symbol.asyncDispose]: async () => {
      await broker[Symbol.asyncDispose]();
      try {
        await vi.waitFor(async () => {
          const left = (await connections()).map((connection) => connection.name);
          if (left.length > 0) throw new Error(`left NATS connections open: ${left.join(', ')}`);
        }, 3_000);
      } finally {
        await server[Symbol.asyncDispose]();
        await rm(folder, { recursive: true, force: true });
      }
    },
  };
}
