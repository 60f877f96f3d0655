import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { NatsServer, NatsServerOptions } from './nats-server.ts';
import { startNatsServer } from './nats-server.ts';
import { rememberedPort } from './ports.ts';
import { startAll } from './start-all.ts';

export type NatsClusterOptions = Omit<NatsServerOptions, 'routes'> & {
  /** What the servers tell each other to be let into the cluster. */
  routePassword: string;
  /** 3 or more, an odd number: more than half of them must run */
  size: number;
};

/** The servers of a cluster as they were first started. Disposing stops these; not what `startAgain` has started. */
export type NatsCluster = AsyncDisposable & {
  nodes: readonly NatsServer[];
  /** All servers, comma-separated. */
  url: string;
  /** Starts the server of this place in `nodes` once more, on its ports and with its store. */
  startAgain: (index: number, signal?: AbortSignal) => Promise<NatsServer>;
};

const leaderTimeoutMs = 30_000;

/**
 * Starts a JetStream cluster on 127.0.0.1, each server with a folder of its own below `storeDir`, and returns
 * once they have agreed on a leader. `port` is that of the first server; the others take free ones, the same
 * as last time when possible. Throws an Error for people when one does not start; then none is left running.
 */
export async function startNatsCluster(options: NatsClusterOptions): Promise<NatsCluster> {
  const { size, storeDir, routePassword: password, signal = new AbortController().signal } = options;
  await using stack = new AsyncDisposableStack();
  const routePorts = await chooseRoutePorts(storeDir, size, options.port);
  const start = (index: number, port: number, until: AbortSignal | undefined) => {
    const routes = { port: routePorts[index] ?? 0, all: routePorts, password };
    return startNatsServer({ ...options, storeDir: folderOf(storeDir, index), port, routes, signal: until });
  };
  const nodes = await startAll<NatsServer[]>(
    stack,
    signal,
    routePorts.map((_, index) => async (until: AbortSignal) => {
      const node = await start(index, index === 0 ? options.port : 0, until);
      return { value: node, resource: node };
    }),
  );
  await untilLeader(nodes, signal);
  const running = stack.move();
  return {
    nodes,
    url: nodes.map(({ url }) => url).join(','),
    startAgain: (index, until) => start(index, nodes[index]?.port ?? 0, until),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

const folderOf = (storeDir: string, index: number) => path.join(storeDir, String(index + 1));

// Before any server starts: each must know where the others will be.
async function chooseRoutePorts(storeDir: string, size: number, firstPort: number): Promise<number[]> {
  const chosen: number[] = [];
  for (let index = 0; index < size; index += 1) {
    await mkdir(folderOf(storeDir, index), { recursive: true });
    const file = path.join(folderOf(storeDir, index), 'route-port');
    chosen.push(await rememberedPort(file, [firstPort, ...chosen]));
  }
  return chosen;
}

/** Until then no stream can be made; it takes up to a few seconds. */
async function untilLeader(nodes: readonly NatsServer[], signal: AbortSignal): Promise<void> {
  for (const deadline = Date.now() + leaderTimeoutMs; Date.now() < deadline; await delay(50, undefined, { signal })) {
    const known = await Promise.all(nodes.map(({ monitorUrl }) => clusterSeenBy(monitorUrl)));
    if (known.every((cluster) => cluster?.leader && cluster.cluster_size === nodes.length)) return;
  }
  throw new Error(
    `The ${nodes.length} NATS servers did not agree on a leader within ${leaderTimeoutMs / 1000} s. Their logs tell why.`,
  );
}

async function clusterSeenBy(monitorUrl: string): Promise<{ leader?: string; cluster_size?: number } | undefined> {
  try {
    const response = await fetch(`${monitorUrl}/jsz`, { signal: AbortSignal.timeout(2_000) });
    const { meta_cluster } = (await response.json()) as {
      meta_cluster?: { leader?: string; cluster_size?: number };
    };
    return meta_cluster;
  } catch {
    return undefined;
  }
}
