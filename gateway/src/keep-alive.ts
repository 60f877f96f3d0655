import type { WebSocket } from 'ws';
import type { ClientSocket } from './client-socket.ts';

const lookEveryMs = 500;

/**
 * Pings each socket once a period, spread out over it, however many connected at once; proxies close what is silent.
 * One that has not answered by its next turn is cut: its client is gone without having said so.
 */
export function keepAlive(sockets: () => Iterable<ClientSocket>, periodMs: number): Disposable {
  const everyMs = Math.min(lookEveryMs, periodMs / 4);
  let lookedAt = performance.now();
  const look = () => {
    const now = performance.now();
    // After a standstill of ours the answers that came meanwhile are not read yet: they are at the next look.
    const wasStill = now - lookedAt > 2 * everyMs;
    lookedAt = now;
    for (const socket of sockets()) {
      if (socket.pingAt === 0) expectAnswers(socket, now + periodMs * Math.random());
      if (socket.pingAt > now || socket.readyState !== socket.OPEN) continue;
      if (!socket.hasAnswered) {
        if (!wasStill) socket.terminate();
        continue;
      }
      socket.hasAnswered = false;
      socket.pingAt = now + periodMs;
      socket.ping();
    }
  };
  const timer = setInterval(look, everyMs);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

function expectAnswers(socket: ClientSocket, firstPingAt: number): void {
  socket.pingAt = firstPingAt;
  socket.on('pong', noteAnswer);
}

function noteAnswer(this: WebSocket): void {
  (this as ClientSocket).hasAnswered = true;
}
