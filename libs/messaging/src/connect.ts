import { setTimeout as delay } from 'node:timers/promises';
import { backoffMs, type ClientTls, type Logger } from '@prequal/service';
import {
  connect,
  createInbox,
  Events,
  type JetStreamClient,
  type JetStreamManager,
  type Msg,
  type MsgHdrs,
  type NatsConnection,
} from 'nats';
import { type AckInbox, openAckInbox } from './ack-inbox.ts';
import { serversIn } from './nats-servers.ts';

/** NATS cannot be reached now; what was to be sent is to be kept and sent later. */
export class BrokerAwayError extends Error {
  override readonly name = 'BrokerAwayError';
}

export type BrokerOptions = {
  /** comma-separated servers, e.g. `nats://scoring:password@127.0.0.1:4222` */
  natsUrl: string;
  /** with it, or with a server named `tls://…`, nothing is said to a server without TLS */
  tls?: ClientTls | undefined;
  /** shown in the server's connection list */
  name: string;
  log: Logger;
};

/**
 * The connection of one process. It is there before NATS is: it connects in the background, for ever, so
 * that a service can start, and serve what needs no broker, while NATS is away.
 */
export type Broker = AsyncDisposable & {
  isConnected: () => boolean;
  /** True when the server that it is connected to is one of several: what this one knows, others may not know yet. */
  isClustered: () => boolean;
  /** Resolves with the first connection. */
  jetStream: () => Promise<{ js: JetStreamClient; jsm: JetStreamManager }>;
  /** Throws `BrokerAwayError` when there is no connection at this moment. */
  connectedJetStream: () => JetStreamClient;
  /**
   * Resolves once JetStream has stored the message. Throws `BrokerAwayError`: at once without a connection, or when
   * the broker refuses (no stream, a full one) or does not answer within 5 s. None of these is the message's fault.
   */
  publish: (subject: string, payload: string, headers: MsgHdrs) => Promise<void>;
  /** Core subscription that lasts across reconnects. Answers how to end it. */
  subscribe: (subject: string, onMessage: (message: Msg) => void) => () => void;
  /** A subject of our own, which no other user may listen to. */
  newInbox: () => string;
  /** Sends without waiting; what is sent while there is no connection is lost. */
  send: (subject: string, message: { payload: string; replyTo: string }) => void;
  /**
   * True once the server has seen all that was sent before, e.g. subscriptions; false when it went away
   * meanwhile, in which case the connect listeners are called as soon as it is back. A server that does not answer
   * is noticed after half a minute only: whoever stops cannot wait for that, and has false after `limitMs`.
   */
  flush: (limitMs?: number) => Promise<boolean>;
  /** Called after the first connect and after each reconnect, when subscriptions are in place again. */
  onConnect: (listener: () => void) => Disposable;
};

const connectionOptions = {
  maxReconnectAttempts: -1,
  reconnectTimeWait: 500,
  reconnectJitter: 500,
  pingInterval: 10_000,
  maxPingOut: 2,
  timeout: 5_000,
  ignoreAuthErrorAbort: true,
  noAsyncTraces: true,
} as const;

/** of each `flush` while stopping */
export const stopFlushMs = 1_000;

/**
 * The library writes to its socket after each callback: once for each message that is published in answer to many
 * which came together. All that is sent in one turn of the event loop can share a write, which is the most expensive
 * part of sending.
 */
function writeOnceATurn(connection: NatsConnection): void {
  const { protocol } = connection as unknown as { protocol: { flushPending: () => void } };
  const flush = protocol.flushPending.bind(protocol);
  let isDue = false;
  protocol.flushPending = () => {
    if (isDue) return;
    isDue = true;
    setImmediate(() => {
      isDue = false;
      flush();
    });
  };
}

const firstConnect = { baseMs: 250, maxMs: 1_000 };

export function connectBroker({ natsUrl, tls, name, log }: BrokerOptions): Broker {
  const listeners = new Set<() => void>();
  const waiting = new Set<(nc: NatsConnection) => void>();
  let nc: NatsConnection | undefined;
  let acknowledgements: AckInbox | undefined;
  let connected = false;
  const stopping = new AbortController();
  const whereAndWho = serversIn(natsUrl, tls);

  const becomeConnected = () => {
    connected = true;
    for (const listener of listeners) listener();
  };

  const first = connectUntilThere().then((connection) => {
    nc = connection;
    acknowledgements = openAckInbox(connection, createInbox(whereAndWho.inboxPrefix));
    void followStatus(connection);
    void connection.closed().then((error) => {
      // The client gave up although told never to. Consumers would hang for ever: end the process.
      if (!stopping.signal.aborted) throw new Error('the NATS connection closed for good', { cause: error });
    });
    for (const subscribe of waiting) subscribe(connection);
    waiting.clear();
    becomeConnected();
    return connection;
  });
  first.catch(() => undefined);

  // The client can wait for its first connection itself, but then nothing can make it stop waiting.
  async function connectUntilThere(): Promise<NatsConnection> {
    for (let attempt = 1; ; attempt += 1) {
      stopping.signal.throwIfAborted();
      try {
        const connection = await connect({ ...connectionOptions, ...whereAndWho, name });
        writeOnceATurn(connection);
        if (!stopping.signal.aborted) return connection;
        await connection.close();
      } catch (error) {
        if (attempt === 1) log.warn({ err: error }, 'NATS is away, waiting for it');
        await delay(backoffMs(attempt, firstConnect), undefined, { signal: stopping.signal });
      }
    }
  }

  async function followStatus(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) {
      if (status.type === Events.Disconnect && connected) {
        connected = false;
        log.warn('NATS is away');
      } else if (status.type === Events.Reconnect) {
        log.info('NATS is back');
        becomeConnected();
      } else if (status.type === Events.Error) {
        const { operation, subject } = status.permissionContext ?? {};
        log.warn({ problem: status.data, subject }, 'NATS reports an error');
        if (operation === 'publish' && subject) acknowledgements?.refuse(subject, 'this user may not publish on it');
      }
    }
  }

  function subscribeOn(connection: NatsConnection, subject: string, onMessage: (message: Msg) => void): () => void {
    const subscription = connection.subscribe(subject, {
      callback: (error, message) => {
        if (error) log.warn({ err: error, subject }, 'NATS subscription reports an error');
        else onMessage(message);
      },
    });
    return () => subscription.unsubscribe();
  }

  return {
    isConnected: () => connected,
    isClustered: () => nc?.info?.cluster !== undefined,
    jetStream: async () => {
      const connection = await first;
      return { js: connection.jetstream(), jsm: await connection.jetstreamManager({ checkAPI: false }) };
    },
    connectedJetStream: () => {
      if (!nc || !connected) throw new BrokerAwayError('NATS is away');
      return nc.jetstream();
    },
    publish: async (subject, payload, headers) => {
      if (!acknowledgements || !connected) throw new BrokerAwayError('NATS is away');
      try {
        await acknowledgements.publish(subject, payload, headers);
      } catch (error) {
        throw new BrokerAwayError('JetStream did not store a message', { cause: error });
      }
    },
    subscribe: (subject, onMessage) => {
      if (nc) return subscribeOn(nc, subject, onMessage);
      let unsubscribe: (() => void) | undefined;
      const subscribe = (connection: NatsConnection) => {
        unsubscribe = subscribeOn(connection, subject, onMessage);
      };
      waiting.add(subscribe);
      return () => {
        waiting.delete(subscribe);
        unsubscribe?.();
      };
    },
    newInbox: () => createInbox(whereAndWho.inboxPrefix),
    send: (subject, { payload, replyTo }) => {
      if (connected) nc?.publish(subject, payload, { reply: replyTo });
    },
    flush: async (limitMs) => {
      if (!nc || !connected) return false;
      const flushed = nc.flush().then(
        () => true,
        () => false,
      );
      return limitMs === undefined ? flushed : Promise.race([flushed, delay(limitMs, false, { ref: false })]);
    },
    onConnect: (listener) => {
      listeners.add(listener);
      if (connected) listener();
      return { [Symbol.dispose]: () => listeners.delete(listener) };
    },
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      connected = false;
      await nc?.close();
    },
  };
}
