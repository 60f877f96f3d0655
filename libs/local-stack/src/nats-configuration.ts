import path from 'node:path';
import { authorizationBlock, type NatsServerUser } from './nats-users.ts';
import { lastLines } from './postgres-data.ts';
import { runCommand } from './processes.ts';

/** What `--version` says, e.g. "2.12.15". Throws when the file is missing or is not a nats-server. */
export async function natsServerVersion(binary: string): Promise<string> {
  const { ok, output } = await runCommand(binary, ['--version'], { timeoutMs: 10_000 });
  const version = /^nats-server: v(\d+\.\d+\.\S+)/m.exec(output)?.[1];
  if (ok && version) return version;
  throw new Error(`${binary} is not a nats-server that runs here: ${lastLines(output, 3) || 'no output'}`);
}

/** Where the servers of one cluster find each other, on 127.0.0.1. */
export type ClusterRoutes = {
  /** where this one listens for the others */
  port: number;
  /** where all of them listen, this one included: a server knows its own route and leaves it alone */
  all: readonly number[];
  /** What a server must know to join: whoever joins sees and may send everything. */
  password: string;
};

export type Configuration = {
  folder: string;
  name: string;
  port: number;
  monitorPort: number;
  version: string;
  routes?: ClusterRoutes | undefined;
  /** Who may connect; without it everybody may do anything. */
  users?: readonly NatsServerUser[] | undefined;
};

/** The configuration file of one server, for its version. */
export function configuration({ folder, name, port, monitorPort, version, routes, users }: Configuration): string {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  // Without it the server syncs every two minutes, after it acknowledged. Known from 2.10 on; 2.9
  // refuses to start with it, and the streams are refilled from PostgreSQL when they are lost.
  const sync = major > 2 || minor >= 10 ? '  sync_interval: always\n' : '';
  return `server_name: "${name}"
listen: "127.0.0.1:${port}"
http: "127.0.0.1:${monitorPort}"
max_payload: 1MB
pid_file: ${JSON.stringify(path.join(folder, 'nats-server.pid'))}
jetstream {
  store_dir: ${JSON.stringify(folder)}
${sync}}
${users ? authorizationBlock(users) : ''}${routes ? clusterBlock(routes) : ''}`;
}

function clusterBlock({ port, all, password }: ClusterRoutes): string {
  return `cluster {
  name: "prequal"
  listen: "127.0.0.1:${port}"
  authorization { user: "route", password: ${JSON.stringify(password)} }
  routes: [${all.map((route) => `"nats://route:${encodeURIComponent(password)}@127.0.0.1:${route}"`).join(', ')}]
}
`;
}
