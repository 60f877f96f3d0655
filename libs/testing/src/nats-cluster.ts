import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type NatsServer, startNatsCluster } from '@prequal/local-stack';
import { type Broker, connectBroker } from '@prequal/messaging';
import { inject } from 'vitest';
import { quiet } from './log.ts';

/** Three nats-servers with one JetStream. */
export type TestNatsCluster = AsyncDisposable & {
  /** all of them, comma-separated */
  url: string;
  /** A connection of the test's own. */
  broker: Broker;
  /** Where each server listens, by its place. */
  urls: readonly string[];
  /** The place of the server that leads this stream now; undefined while there is none. */
  leaderOf: (stream: string) => Promise<number | undefined>;
  /** SIGKILL. */
  kill: (index: number) => Promise<void>;
  /** SIGSTOP, until the answer is disposed: it keeps its connections and answers nothing. */
  pause: (index: number) => Disposable;
  /** Starts a killed server again, on the same ports and with what it had stored. */
  restart: (index: number) => Promise<void>;
};

export async function startTestNatsCluster(): Promise<TestNatsCluster> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'prequal-nats-cluster-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const binary = inject('natsServerBinary');
  const cluster = await startNatsCluster({ binary, storeDir: folder, size: 3, port: 0, routePassword: 'route' });
  const running: (NatsServer | undefined)[] = [...cluster.nodes];
  stack.defer(async () => {
    for (const node of running) await node?.[Symbol.asyncDispose]();
  });
  const broker = stack.use(connectBroker({ natsUrl: cluster.url, name: 'test', log: quiet }));
  const owned = stack.move();
  return {
    url: cluster.url,
    urls: cluster.nodes.map(({ url }) => url),
    broker,
    leaderOf: async (stream) => {
      const { jsm } = await broker.jetStream();
      const leader = await jsm.streams.info(stream).then(
        (info) => info.cluster?.leader,
        () => undefined,
      );
      const index = cluster.nodes.findIndex(({ name }) => name === leader);
      return index === -1 ? undefined : index;
    },
    kill: async (index) => {
      const node = running[index];
      if (!node) throw new Error(`server ${index} does not run`);
      running[index] = undefined;
      process.kill(node.pid, 'SIGKILL');
      await node.exited;
    },
    pause: (index) => {
      const { pid = 0 } = running[index] ?? {};
      process.kill(pid, 'SIGSTOP');
      return { [Symbol.dispose]: () => void process.kill(pid, 'SIGCONT') };
    },
    restart: async (index) => {
      running[index] = await cluster.startAgain(index);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
