import type { Server as HttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import { cannotListen, listen } from '@prequal/service';

/** as many new clients are let in with each turn of the event loop */
const count = 64;

/** Where clients come in. Disposing lets nobody in from then on, and resolves when all who came have left. */
export type Entrances = AsyncDisposable & { url: string };

/**
 * Opens an address of the door with many sockets that listen there. Of each, one connection is accepted in a turn of the
 * event loop (libuv since 1.45, its pull request 3696). With a single one, a gateway that answers a hundred requests a
 * turn let in a dozen new clients a second, and the kernel dropped those behind them: they tried again after 1, 3, 7 and
 * 15 seconds, the probes of an orchestrator among them. Only Linux shares what comes between sockets; elsewhere there is
 * one. Throws `ConfigError` when the address cannot be had.
 */
export async function openEntrances(door: HttpServer, at: { host: string; port: number }): Promise<Entrances> {
  if (process.platform !== 'linux') return { url: await listen(door, at), [Symbol.asyncDispose]: () => closed(door) };
  const url = await listenAlone(door, at);
  const { port } = door.address() as AddressInfo;
  const shared = { host: at.host, port, reusePort: true };
  // As Node makes the door's own.
  const like = { allowHalfOpen: !(door instanceof TlsServer), noDelay: true };
  const bring = (socket: Socket) => door.emit('connection', socket);
  const opened: Server[] = [door];
  const close = async () => void (await Promise.all(opened.map(closed)));
  try {
    while (opened.length < count) {
      const other = createServer(like, bring);
      await listen(other, shared);
      opened.push(other);
    }
  } catch (error) {
    void close();
    door.closeAllConnections();
    throw error;
  }
  return { url, [Symbol.asyncDispose]: close };
}

/**
 * Sockets that share a port would share it with a second gateway, too. One that does not share tells whether there is
 * one; and of two that start together, one has the name that the system gives to a single socket at a time.
 */
async function listenAlone(door: HttpServer, at: { host: string; port: number }): Promise<string> {
  const shared = { ...at, reusePort: true };
  if (at.port === 0) return listen(door, shared);
  // Who comes to them meanwhile would keep them open.
  const [name, probe] = [createServer(cut), createServer(cut)];
  await new Promise<void>((resolve, reject) => {
    name.once('error', (error) => reject(cannotListen(error, at)));
    // Of Linux's abstract names: no file, and gone with the process.
    name.listen(`\0prequal-gateway-${at.host}-${at.port}`, resolve);
  });
  try {
    await listen(probe, at);
    await closed(probe);
    return await listen(door, shared);
  } finally {
    await closed(name);
  }
}

function cut(socket: Socket): void {
  socket.destroy();
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
