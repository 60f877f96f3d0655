import { connect, type Socket } from 'node:net';

type Answer = { status: number; body: string };

/** One keep-alive connection that carries one request at a time. */
export type Connection = {
  post: (body: string) => Promise<Answer>;
  /** false once the server has closed it, or may be about to, because it was idle for long */
  isOpen: () => boolean;
  close: () => void;
};

/** Node's servers close what was idle for five seconds; what is sent in that moment is answered by nobody. */
const idleMs = 4_000;
const headerEnd = Buffer.from('\r\n\r\n');

/**
 * A client of so little that it is no part of what is measured: Node's own costs as much as the servers that
 * are compared. It knows answers with a content-length and no others.
 */
export async function openConnection(url: string): Promise<Connection> {
  const { hostname, port, pathname } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  const head = `POST ${pathname} HTTP/1.1\r\nhost: ${hostname}:${port}\r\ncontent-type: application/json\r\naccept: application/json\r\n`;
  const next = answersOf(socket);
  let usedAt = performance.now();
  return {
    post: (body) => {
      usedAt = performance.now();
      const answer = next();
      socket.write(`${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
      return answer;
    },
    isOpen: () => socket.readyState === 'open' && performance.now() - usedAt < idleMs,
    close: () => socket.destroy(),
  };
}

function answersOf(socket: Socket): () => Promise<Answer> {
  let waiting: PromiseWithResolvers<Answer> | undefined;
  let ended: Error | undefined;
  let received: Buffer = Buffer.alloc(0);
  const fail = (error: Error) => {
    ended = error;
    waiting?.reject(error);
  };
  socket.on('error', fail);
  socket.on('close', () => fail(new Error('the server closed the connection')));
  socket.on('data', (chunk) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    try {
      const answer = answerIn(received);
      if (!answer) return;
      received = Buffer.alloc(0);
      waiting?.resolve(answer);
    } catch (error) {
      fail(error as Error);
    }
  });
  return async () => {
    if (ended) throw ended;
    waiting = Promise.withResolvers();
    return waiting.promise;
  };
}

/** Undefined while more has to come. */
function answerIn(received: Buffer): Answer | undefined {
  const end = received.indexOf(headerEnd);
  if (end < 0) return undefined;
  const header = received.toString('latin1', 0, end);
  const length = /\r\ncontent-length: *(\d+)/i.exec(header)?.[1];
  if (length === undefined) throw new Error(`an answer without content-length:\n${header}`);
  const bodyAt = end + headerEnd.length;
  if (received.length < bodyAt + Number(length)) return undefined;
  return { status: Number(header.slice(9, 12)), body: received.toString('utf8', bodyAt) };
}
