import type { Server as HttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import { listen } from '@prequal/service';

/** as many new clients are let in with each turn of the event loop */
const count = 64;

/** Where clients come in. Once closed it lets nobody in, and resolves when all who came have left. */
export type Entrances = { url: string; close: () => Promise<void> };

/**
 * Opens an address of the door with many sockets that listen there. Of each, one connection is accepted in a turn of the
 * event loop (libuv since 1.45, its pull request 3696). With a single one, a gateway that answers a hundred requests a
 * turn let in a dozen new clients a second, and the kernel dropped those behind them: they tried again after 1, 3, 7 and
 * 15 seconds, the probes of an orchestrator among them. Only Linux shares what comes between sockets; elsewhere there is
 * one. Throws `ConfigError` when the address cannot be had.
 */
export async function openEntrances(door: HttpServer, at: { host: string; port: number }): Promise<Entrances> {
  if (process.platform !== 'linux') return { url: await listen(door, at), close: () => closed(door) };
  // Sockets that share a port would share it with a second gateway, too. What does not share tells that there is one.
  if (at.port !== 0) await findFree(at);
  const url = await listen(door, { ...at, reusePort: true });
  const { port } = door.address() as AddressInfo;
  const shared = { host: at.host, port, reusePort: true };
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
    await close();
    throw error;
  }
  return { url, close };
}

async function findFree(at: { host: string; port: number }): Promise<void> {
  const probe = createServer();
  await listen(probe, at);
  await closed(probe);
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
