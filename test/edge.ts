import { once } from 'node:events';
import { connectClient } from '@prequal/testing';
import { WebSocket } from 'ws';

export const transports = ['http', 'ws', 'sse'] as const;
export type Transport = (typeof transports)[number];

export const unknownId = '01890000-0000-7000-8000-000000000000';

type Failure = { message: string; extensions: Record<string, unknown> };

/** The first error that an operation is answered with; undefined when there is none. */
export async function failureOf(
  gatewayUrl: string,
  transport: Transport,
  query: string,
  variables: Record<string, unknown> = {},
): Promise<Failure | undefined> {
  await using client = connectClient(gatewayUrl);
  if (transport === 'http') return (await client.request(query, variables)).errors?.[0];
  try {
    const { value } = await client.subscribe(transport, query, variables).next();
    return value?.errors?.[0];
  } catch (error) {
    // graphql-ws throws the errors of an operation that could not begin
    if (Array.isArray(error)) return error[0];
    throw error;
  }
}

type RawSocket = AsyncDisposable & {
  socket: WebSocket;
  send: (message: unknown) => void;
  /** the next message that has come and was not taken yet */
  next: () => Promise<{ type: string; id?: string; payload?: unknown }>;
  /** the code of the close; also when it has closed already */
  closed: Promise<number>;
};

export const watch = (id: string, subscriptionId: string) => ({
  id: subscriptionId,
  type: 'subscribe',
  payload: { query: `subscription { applicationStatus(id: "${id}") { status version } }` },
});

/** A WebSocket without a library on it, to say what no client says. */
export async function rawSocket(gatewayUrl: string, { init = true }: { init?: boolean } = {}): Promise<RawSocket> {
  const socket = new WebSocket(`${gatewayUrl.replace('http', 'ws')}/graphql`, 'graphql-transport-ws');
  const messages: unknown[] = [];
  let wake: (() => void) | undefined;
  socket.on('message', (data: Buffer) => {
    messages.push(JSON.parse(data.toString()));
    wake?.();
  });
  const closed = once(socket, 'close').then(([code]) => code as number);
  await once(socket, 'open');
  const self: RawSocket = {
    socket,
    send: (message) => socket.send(typeof message === 'string' ? message : JSON.stringify(message)),
    next: async () => {
      while (messages.length === 0) {
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        await promise;
      }
      return messages.shift() as never;
    },
    closed,
    [Symbol.asyncDispose]: async () => {
      socket.terminate();
      await closed;
    },
  };
  if (init) {
    self.send({ type: 'connection_init' });
    await self.next();
  }
  return self;
}

/** The status that a handshake is refused with; 101 when it is not. */
export async function handshake(gatewayUrl: string, headers: Record<string, string> = {}): Promise<number> {
  const socket = new WebSocket(`${gatewayUrl.replace('http', 'ws')}/graphql`, 'graphql-transport-ws', { headers });
  const answered = Promise.withResolvers<number>();
  socket.once('unexpected-response', (request, response) => {
    answered.resolve(response.statusCode ?? 0);
    request.destroy();
  });
  socket.once('open', () => answered.resolve(101));
  socket.on('error', () => answered.resolve(0));
  const status = await answered.promise;
  if (socket.readyState === WebSocket.OPEN) {
    socket.terminate();
    await once(socket, 'close');
  }
  return status;
}

/** The environment of a gateway in production that still takes callers without a token. */
export function inProduction(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const own = (name: string) => ({ [name]: env[name]?.replace('dev-1:', 'own-1:') });
  return {
    ...env,
    ...own('PAN_ENCRYPTION_KEYS'),
    ...own('PAN_INDEX_KEYS'),
    NODE_ENV: 'production',
    AUTH_ISSUER: 'https://login.example.com',
    ALLOW_ANONYMOUS: 'on',
  };
}
