import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** A network link between two processes, with everything that happens to links. */
export type Link = AsyncDisposable & {
  name: string;
  port: number;
  /** Ends all connections with a reset. */
  cut: () => void;
  /** New connections are reset; those there are stay. */
  refuse: (refused: boolean) => void;
  /** Nothing passes in either direction, and nobody is told. What was sent arrives later. */
  hold: (held: boolean) => void;
  /** The server forgets its connections, as after a power failure; the client is not told until it speaks. */
  halfOpen: () => void;
  /** everything arrives so much later; 0 is the default */
  delayMs: (milliseconds: number) => void;
};

type Side = 'client' | 'server';
type Connection = Record<Side, Socket> & { halfOpen: boolean };

/** bytes held back in one direction before the sender has to wait */
const maxQueuedBytes = 1_000_000;

/** A proxy on a port of 127.0.0.1 (0: any free one) for a server on another one. */
export async function createLink({ name, port, to }: { name: string; port: number; to: number }): Promise<Link> {
  const connections = new Set<Connection>();
  const link = { refused: false, delayMs: 0, gate: openGate() };

  const listener = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    if (link.refused) {
      client.on('error', () => undefined);
      client.resetAndDestroy();
      return;
    }
    const server = connect({ port: to, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    const connection = { client, server, halfOpen: false };
    connections.add(connection);
    void Promise.all([pump(connection, 'client', 'server'), pump(connection, 'server', 'client')]).then(() =>
      connections.delete(connection),
    );
  });

  /** Carries one direction: each piece when its time has come, then the end, whether good or bad. */
  async function pump(connection: Connection, source: Side, sink: Side): Promise<void> {
    const { [source]: from, [sink]: into } = connection;
    const queue = queueOf(from, () => link.delayMs);
    let ended = false;
    for (;;) {
      const { dueAt, piece } = await queue.next();
      const waitMs = dueAt - performance.now();
      if (waitMs > 0) await delay(waitMs);
      await link.gate.opened;
      if (connection.halfOpen) {
        // A server that knows nothing of this connection says so to whoever speaks, and to nobody else.
        if (source === 'client') from.resetAndDestroy();
        if (piece === 'failed' || piece === 'closed') return;
      } else if (piece === 'end') {
        ended = true;
        into.end();
      } else if (piece === 'failed' || piece === 'closed') {
        if (piece === 'failed' || !ended) into.destroy();
        return;
      } else if (into.writable && !into.write(piece)) {
        await Promise.race([once(into, 'drain'), once(into, 'close')]).catch(() => undefined);
      }
    }
  }

  listener.listen(port, '127.0.0.1');
  await once(listener, 'listening');
  const cut = () => {
    for (const { client, server } of connections) {
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
  };
  return {
    name,
    port: (listener.address() as AddressInfo).port,
    cut,
    refuse: (refused) => {
      link.refused = refused;
    },
    hold: (held) => {
      if (held) link.gate = link.gate.isOpen ? closedGate() : link.gate;
      else link.gate.open();
    },
    halfOpen: () => {
      for (const connection of connections) {
        connection.halfOpen = true;
        connection.server.resetAndDestroy();
      }
    },
    delayMs: (milliseconds) => {
      link.delayMs = milliseconds;
    },
    [Symbol.asyncDispose]: async () => {
      link.gate.open();
      cut();
      listener.close();
      await once(listener, 'close');
    },
  };
}

type Piece = Buffer | 'end' | 'failed' | 'closed';

/** What a socket receives, with the time at which each piece is due at the other end. */
function queueOf(from: Socket, delayMs: () => number): { next: () => Promise<{ dueAt: number; piece: Piece }> } {
  const queue: { dueAt: number; piece: Piece }[] = [];
  let queuedBytes = 0;
  let arrived = Promise.withResolvers<void>();
  const push = (piece: Piece) => {
    queue.push({ dueAt: performance.now() + delayMs(), piece });
    arrived.resolve();
  };
  from.on('data', (chunk: Buffer) => {
    queuedBytes += chunk.length;
    if (queuedBytes > maxQueuedBytes) from.pause();
    push(chunk);
  });
  from.on('end', () => push('end'));
  from.on('error', () => push('failed'));
  from.on('close', () => push('closed'));
  return {
    next: async () => {
      while (queue.length === 0) {
        arrived = Promise.withResolvers();
        await arrived.promise;
      }
      const next = queue.shift() as { dueAt: number; piece: Piece };
      if (typeof next.piece !== 'string') queuedBytes -= next.piece.length;
      if (from.isPaused() && queuedBytes < maxQueuedBytes / 2) from.resume();
      return next;
    },
  };
}

type Gate = { isOpen: boolean; opened: Promise<void>; open: () => void };

function openGate(): Gate {
  return { isOpen: true, opened: Promise.resolve(), open: () => undefined };
}

function closedGate(): Gate {
  const { promise, resolve } = Promise.withResolvers<void>();
  const gate: Gate = {
    isOpen: false,
    opened: promise,
    open: () => {
      gate.isOpen = true;
      resolve();
    },
  };
  return gate;
}
