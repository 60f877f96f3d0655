import { WebSocket } from 'ws';
import { watchDocument } from './documents.ts';

export type Update = { status: string; version: number; final: boolean };

/** One socket with any number of watchers (graphql-transport-ws). */
export type WatchSocket = {
  /** Told of each update until it answers true, or the server ends the stream; `onEnd` is called in either case. */
  watch: (id: string, onUpdate: (update: Update) => boolean, onEnd: (fault?: string) => void) => void;
  close: () => void;
};

type Watcher = { onUpdate: (update: Update) => boolean; onEnd: (fault?: string) => void };
type Message = { type: string; id: string; payload?: { data?: { applicationStatus?: Update } } };

export async function openWatchSocket(url: string): Promise<WatchSocket> {
  const socket = new WebSocket(url.replace(/^http/, 'ws'), 'graphql-transport-ws', { perMessageDeflate: false });
  const watchers = new Map<string, Watcher>();
  const { promise: open, resolve, reject } = Promise.withResolvers<void>();
  const send = (message: object) => socket.send(JSON.stringify(message));
  let count = 0;
  const end = (id: string, fault?: string) => {
    const watcher = watchers.get(id);
    watchers.delete(id);
    watcher?.onEnd(fault);
  };
  socket.on('open', () => send({ type: 'connection_init' }));
  socket.on('error', reject);
  socket.on('close', (code) => {
    reject(new Error(`the socket was closed with ${code}`));
    for (const id of watchers.keys()) end(id, `the socket was closed with ${code}`);
  });
  socket.on('message', (data) => {
    const text = (data as Buffer).toString();
    const { type, id, payload } = JSON.parse(text) as Message;
    if (type === 'connection_ack') resolve();
    if (type === 'ping') send({ type: 'pong' });
    if (type === 'error') end(id, text);
    if (type === 'complete') end(id);
    if (type !== 'next') return;
    const update = payload?.data?.applicationStatus;
    const watcher = watchers.get(id);
    if (!watcher) return;
    if (update && !watcher.onUpdate(update)) return;
    if (!update?.final) send({ type: 'complete', id });
    end(id, update ? undefined : text);
  });
  await open;
  return {
    watch: (applicationId, onUpdate, onEnd) => {
      count += 1;
      const id = String(count);
      watchers.set(id, { onUpdate, onEnd });
      send({ type: 'subscribe', id, payload: { query: watchDocument, variables: { id: applicationId } } });
    },
    close: () => {
      watchers.clear();
      socket.terminate();
    },
  };
}

/** Resolves when the application is decided, i.e. beyond its first version. */
export function untilDecided(socket: WatchSocket, id: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let decided = false;
    const onUpdate = ({ version }: Update) => (decided = version > 1);
    socket.watch(id, onUpdate, (fault) =>
      decided ? resolve() : reject(new Error(`not told of a decision: ${fault ?? 'the stream completed'}`)),
    );
  });
}
