import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo, Server as AnyServer } from 'node:net';
import { Server as AnyTlsServer } from 'node:tls';
import { ConfigError } from './config.ts';
import type { Registry } from './metrics.ts';

/** One thing a service depends on, e.g. `{ name: 'database', isConnected, neededToServe: true }`. */
export type Dependency = {
  name: 'database' | 'nats';
  isConnected: () => Promise<boolean> | boolean;
  /** false for what the service can do without for a while: it stays ready then */
  neededToServe: boolean;
};

export type Health = {
  dependencies: readonly Dependency[];
  /** false while starting (e.g. the schema is not current) and while stopping */
  isServing: () => boolean;
  metrics: Registry;
};

type AnswerHealth = (health: Health, response: ServerResponse) => Promise<void>;

const answers = new Map<string, AnswerHealth>([
  ['/livez', async (_health, response) => send(response, 200, { status: 'alive' })],
  [
    '/readyz',
    async (health, response) => {
      const needed = await statesOf(health.dependencies.filter((dependency) => dependency.neededToServe));
      const ready = health.isServing() && Object.values(needed).every((state) => state === 'connected');
      send(response, ready ? 200 : 503, { status: ready ? 'ready' : 'not ready', ...needed });
    },
  ],
  [
    '/health',
    async (health, response) => {
      const states = await statesOf(health.dependencies);
      const healthy = health.isServing() && Object.values(states).every((state) => state === 'connected');
      send(response, healthy ? 200 : 503, { status: healthy ? 'healthy' : 'unhealthy', ...states });
    },
  ],
  [
    '/metrics',
    async ({ metrics }, response) => {
      response.writeHead(200, { 'content-type': metrics.contentType });
      response.end(await metrics.metrics());
    },
  ],
]);

/**
 * Answers `/livez`, `/readyz`, `/health` and `/metrics`; undefined when the request is for something else.
 * `/livez` says the process turns its event loop, `/readyz` that it may be sent work, `/health` how it is.
 */
export function answerHealth(
  health: Health,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> | undefined {
  return answers.get(pathOf(request))?.(health, response);
}

/** The path of a request as it was sent, without its query. */
export function pathOf(request: IncomingMessage): string {
  const { url = '' } = request;
  const end = url.indexOf('?');
  return end < 0 ? url : url.slice(0, end);
}

async function statesOf(dependencies: readonly Dependency[]): Promise<Record<string, 'connected' | 'disconnected'>> {
  const states = dependencies.map(async ({ name, isConnected }) => {
    const connected = await (async () => isConnected())().catch(() => false);
    return [name, connected ? 'connected' : 'disconnected'] as const;
  });
  return Object.fromEntries(await Promise.all(states));
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(JSON.stringify(body));
}

/** A server for health and metrics alone, as the workers need it. `url` is where it listens. */
export async function serveHealth(
  health: Health,
  address: { host: string; port: number },
): Promise<AsyncDisposable & { url: string }> {
  const server = createServer((request, response) => {
    const answered = answerHealth(health, request, response);
    if (answered) answered.catch(() => response.destroy());
    else send(response, 404, { error: 'Try /livez, /readyz, /health or /metrics.' });
  });
  const url = await listen(server, address);
  return { url, [Symbol.asyncDispose]: () => close(server) };
}

/**
 * Listens and answers the address as a URL. Throws `ConfigError` when the address cannot be had. With `reusePort` others
 * of the same user may listen there as well, and share what comes.
 */
export async function listen(
  server: AnyServer,
  at: { host: string; port: number; reusePort?: boolean },
): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(cannotListen(error, at)));
    server.listen(at, () => {
      server.removeAllListeners('error');
      resolve();
    });
  });
  const { port } = server.address() as AddressInfo;
  const host = at.host.includes(':') ? `[${at.host}]` : at.host;
  return `${server instanceof AnyTlsServer ? 'https' : 'http'}://${host}:${port}`;
}

/** Why an address cannot be had, and what to do. */
export function cannotListen(
  cause: NodeJS.ErrnoException,
  { host, port }: { host: string; port: number },
): ConfigError {
  const advice =
    adviceFor[cause.code ?? ''] ?? `cannot be had (${cause.code}). Set another host or port for this service.`;
  return new ConfigError(`The address ${host}:${port} ${advice}`, { cause });
}

const adviceFor: Record<string, string> = {
  EADDRINUSE: 'is occupied by another program. Stop that program, or set another host or port for this service.',
  EMFILE: 'cannot be had: this process has too many open files. Allow it more (ulimit -n).',
};

async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}
