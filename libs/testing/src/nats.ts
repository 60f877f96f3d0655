import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { natsUrlFor, restrictedUsers, startNatsServer } from '@prequal/local-stack';
import { type Broker, connectBroker } from '@prequal/messaging';
import { type NatsUser, natsUsers } from '@prequal/schema';
import { inject, vi } from 'vitest';
import { quiet } from './log.ts';

/** A nats-server of its own with an empty JetStream. Disposing it fails when somebody is still connected. */
export type TestNats = AsyncDisposable & {
  /** of a user who may do anything */
  url: string;
  /** for a service, which may do what it needs */
  urls: Record<NatsUser, string>;
  /** Stops the server; disposing the answer starts it again, on the same port and with its streams. */
  away: () => Promise<AsyncDisposable>;
  /** where it keeps its streams */
  storeDir: string;
  /** The same, and everything it had stored is gone when it starts again. */
  wiped: () => Promise<AsyncDisposable>;
  /** A connection of the test's own. */
  broker: Broker;
  /** What the server knows: connections by name with their subscriptions. */
  connections: () => Promise<{ name: string; subscriptions: string[] }[]>;
};

/** As for the database, each user's password is its name. */
const passwords = Object.fromEntries(natsUsers.map((user) => [user, user])) as Record<NatsUser, string>;
const admin = { user: 'test', password: 'test' };
/** The users of the system, and one who may do anything. */
export const testNatsUsers = [...restrictedUsers(passwords), admin];

export async function startTestNats(): Promise<TestNats> {
  const folder = await mkdtemp(join(tmpdir(), 'prequal-nats-'));
  const binary = inject('natsServerBinary');
  const start = (port: number) => startNatsServer({ binary, storeDir: folder, port, users: testNatsUsers });
  let server = await start(0);
  const url = natsUrlFor(server.url, admin);
  const urlOf = (user: NatsUser) => natsUrlFor(server.url, { user, password: passwords[user] });
  const broker = connectBroker({ natsUrl: url, name: 'test', log: quiet });
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
    url,
    urls: Object.fromEntries(natsUsers.map((user) => [user, urlOf(user)])) as Record<NatsUser, string>,
    away,
    storeDir: folder,
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
        }, 10_000);
      } finally {
        await server[Symbol.asyncDispose]();
        await rm(folder, { recursive: true, force: true });
      }
    },
  };
}
