import type { Duplex } from 'node:stream';
import type { Refusal, Viewer } from '@prequal/schema';
import { WebSocket } from 'ws';

/** What is kept of the request that a socket began with. */
export type Handshake = {
  /** whose limits it counts against, see `clientAddress` */
  address: string;
  authorization: string | undefined;
  correlationId: string | undefined;
  traceparent: string | undefined;
};

/** Who a socket belongs to, for all operations it carries, and the signal that it is closed. */
export type Session = { viewer: Viewer | Refusal; gone: AbortSignal };

/** bytes; of a client that reads as fast as it is told no more are waiting */
const waitingForFastClient = 16 * 1_024;

/**
 * A client's socket, with all that the gateway knows of it: there are tens of thousands, so that a field here is
 * cheaper than a map elsewhere, and a listener that all share cheaper than a closure for each.
 */
export class ClientSocket extends WebSocket {
  handshake: Handshake | undefined;
  session: Session | undefined;
  /** messages that it may still send until the instant, by the monotonic clock */
  messagesLeft = 0;
  windowEndsAt = 0;
  pingAt = 0;
  hasAnswered = true;

  /** what carries its frames */
  carrier: Duplex | undefined;
  #isHolding = false;

  /**
   * What is sent in one turn of the event loop shares a write: the last update of a stream and its end do, and all that
   * the streams of one socket are told meanwhile. The library sends the next message when it is called back: at once,
   * until much waits for a client that is slow. What could not be written was for a socket that is gone, as its close
   * tells; the library would print each time.
   */
  override send(data: unknown, sent?: unknown): void {
    this.#holdForThisTurn();
    const told = () => typeof sent === 'function' && sent();
    const isFast = this.bufferedAmount < waitingForFastClient;
    super.send(data as string, isFast ? ignore : told);
    if (isFast) told();
  }

  #holdForThisTurn(): void {
    if (this.#isHolding || !this.carrier) return;
    this.#isHolding = true;
    this.carrier.cork();
    setImmediate(() => {
      this.#isHolding = false;
      this.carrier?.uncork();
    });
  }
}

function ignore(): void {}
