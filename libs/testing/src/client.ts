import type { ExecutionResult } from 'graphql';
import { createClient as createSseClient } from 'graphql-sse';
import { type Client, createClient } from 'graphql-ws';
import { WebSocket } from 'ws';

// oxlint-disable-next-line typescript/no-explicit-any -- what a server answers is for the test to judge
type Untyped = any;

type Answer<Data> = ExecutionResult<Data> & { status: number; headers: Headers };

/** A real client of one gateway. Answers are untyped JSON: a test says what it expects. */
export type TestClient = AsyncDisposable & {
  url: string;
  request: <Data = Untyped>(
    query: string,
    variables?: unknown,
    headers?: Record<string, string>,
  ) => Promise<Answer<Data>>;
  /** graphql-ws, or graphql-sse in distinct connections mode. Each result as it comes; throws what the client throws. */
  subscribe: <Data = Untyped>(
    transport: 'ws' | 'sse',
    query: string,
    variables?: Record<string, unknown>,
  ) => AsyncIterableIterator<ExecutionResult<Data>>;
};

/** With a token: as its subject, on every transport. */
export function connectClient(gatewayUrl: string, token?: string): TestClient {
  const url = `${gatewayUrl}/graphql`;
  const identity: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const sockets: Client = createClient({
    url: url.replace(/^http/, 'ws'),
    webSocketImpl: WebSocket,
    retryAttempts: 0,
    connectionParams: identity,
  });
  const streams = createSseClient({ url, retryAttempts: 0, headers: identity });
  return {
    url,
    request: async (query, variables, headers) => {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...identity, ...headers },
        body: JSON.stringify({ query, variables }),
      });
      const result = (await response.json()) as ExecutionResult<never>;
      return { ...result, status: response.status, headers: response.headers };
    },
    subscribe: (transport, query, variables = {}) => {
      const client = transport === 'ws' ? sockets : streams;
      return client.iterate<never>({ query, variables }) as AsyncIterableIterator<ExecutionResult<never>>;
    },
    [Symbol.asyncDispose]: async () => {
      streams.dispose();
      await sockets.dispose();
    },
  };
}
