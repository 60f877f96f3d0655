import { setTimeout as delay } from 'node:timers/promises';
import { serverSentEvents } from '@prequal/local-stack';
import { type Client, createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import type { History } from './history.ts';

type Update = { status: string; version: number; cibilScore: number | null; final: boolean };

/** One watcher of one application, over all its reconnects. */
export type Watcher = {
  id: string;
  transport: 'ws' | 'sse';
  /** what it asked for at first */
  after: number | undefined;
  updates: Update[];
  /** open: waits for more; left: went by itself; complete: told that nothing follows; anything else is an error */
  end: 'open' | 'left' | 'complete' | `error: ${string}`;
};

type Watching = { leave: () => void; done: Promise<void> };

const document = `subscription ($id: ID!, $after: Int) {
  applicationStatus(id: $id, after: $after) { status version cibilScore final }
}`;

type Payload = { data?: { applicationStatus: Update } | null; errors?: readonly { message: string }[] };

function take(watcher: Watcher, variables: { after?: number }, payload: Payload, history: History): void {
  const update = payload.data?.applicationStatus;
  if (!update) {
    watcher.end = `error: ${payload.errors?.[0]?.message ?? 'a result without data'}`;
    return;
  }
  variables.after = update.version;
  watcher.updates.push(update);
  history.note('watcher saw', watcher.id, { transport: watcher.transport, ...update });
}

/** The library's client, which connects again for ever, each time to any of the gateways. */
export function webSocketClient(gatewayUrl: () => string): Client {
  let patience: NodeJS.Timeout | undefined;
  const client = createClient({
    url: () => `${gatewayUrl().replace(/^http/, 'ws')}/graphql`,
    webSocketImpl: ImpatientSocket,
    retryAttempts: Number.POSITIVE_INFINITY,
    shouldRetry: () => true,
    // The library's own waits double without limit.
    retryWait: async (retries) => delay(Math.min(2_000, 100 * 2 ** retries) * (0.5 + Math.random() / 2)),
    connectionAckWaitTimeout: answerLimitMs,
    keepAlive: 3_000,
    lazyCloseTimeout: 10_000,
    on: {
      // The library's recipe for links that are dead without saying so.
      ping: (received) => {
        if (!received) patience = setTimeout(() => client.terminate(), answerLimitMs);
      },
      pong: (received) => {
        if (received) clearTimeout(patience);
      },
      closed: () => clearTimeout(patience),
    },
  });
  return client;
}

const answerLimitMs = 5_000;

// The only way to give the library's socket a limit for its handshake.
class ImpatientSocket extends WebSocket {
  constructor(url: string, protocols: string) {
    super(url, protocols, { handshakeTimeout: answerLimitMs });
  }

  // The library terminates by closing, which waits for a dead link; what comes over it when it lives again would be
  // taken for an answer to the same subscription on the next socket.
  override close(code?: number, reason?: string): void {
    if (code === terminated) this.terminate();
    else super.close(code, reason);
  }
}

const terminated = 4499;

export function watchOverWebSocket(client: Client, watcher: Watcher, history: History): Watching {
  const { promise: done, resolve } = Promise.withResolvers<void>();
  const variables: { id: string; after?: number } = { id: watcher.id };
  if (watcher.after !== undefined) variables.after = watcher.after;
  const end = (how: Watcher['end']) => {
    if (watcher.end === 'open') watcher.end = how;
    history.note('watcher ended', watcher.id, { how: watcher.end });
    resolve();
  };
  // Subscribed again with the very same object, so that what was seen is not asked for again.
  const leave = client.subscribe<{ applicationStatus: Update }>(
    { query: document, variables },
    {
      next: (payload) => take(watcher, variables, payload as Payload, history),
      error: (error) => end(`error: ${describe(error)}`),
      complete: () => end('complete'),
    },
  );
  return {
    done,
    leave: () => {
      if (watcher.end === 'open') watcher.end = 'left';
      leave();
    },
  };
}

function describe(error: unknown): string {
  if (Array.isArray(error)) return (error[0] as Error).message;
  return error instanceof Error ? error.message : JSON.stringify(error);
}

/** longer than the server is silent by itself: it sends a heartbeat every 12 s */
const silenceLimitMs = 15_000;

export function watchOverSse(gatewayUrl: () => string, watcher: Watcher, history: History): Watching {
  const leaving = new AbortController();
  const variables: { id: string; after?: number } = { id: watcher.id };
  if (watcher.after !== undefined) variables.after = watcher.after;

  async function stream(): Promise<void> {
    const silent = new AbortController();
    const timer = setTimeout(() => silent.abort(), silenceLimitMs);
    try {
      const response = await fetch(`${gatewayUrl()}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
        body: JSON.stringify({ query: document, variables }),
        signal: AbortSignal.any([leaving.signal, silent.signal]),
      });
      const body = response.body;
      if (!response.ok || !body) {
        await body?.cancel();
        return;
      }
      for await (const { event, data } of serverSentEvents(heard(body, () => timer.refresh()))) {
        if (event === 'next') take(watcher, variables, JSON.parse(data) as Payload, history);
        if (event === 'complete' && watcher.end === 'open') watcher.end = 'complete';
      }
    } finally {
      clearTimeout(timer);
    }
  }

  async function untilEnd(): Promise<void> {
    for (let attempt = 0; watcher.end === 'open'; attempt += 1) {
      const seen = watcher.updates.length;
      await stream().catch(() => undefined);
      if (watcher.updates.length > seen) attempt = 0;
      if (watcher.end === 'open') {
        const waitMs = Math.min(2_000, 100 * 2 ** attempt) * (0.5 + Math.random() / 2);
        await delay(waitMs, undefined, { signal: leaving.signal }).catch(() => undefined);
      }
    }
    history.note('watcher ended', watcher.id, { how: watcher.end });
  }

  return {
    done: untilEnd(),
    leave: () => {
      if (watcher.end === 'open') watcher.end = 'left';
      leaving.abort();
    },
  };
}

async function* heard(body: AsyncIterable<Uint8Array>, onChunk: () => void): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    onChunk();
    yield chunk;
  }
}
