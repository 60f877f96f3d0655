import type { Duplex } from 'node:stream';
import type { Refusal, Viewer } from '@prequal/schema';
import { WebSocket } from 'ws';

/** What is kept of the request that a socket began with. */
type Handshake = {
  /** whose limits it counts against, see `clientAddress` */
  address: string;
  authorization: string | undefined;
  correlationId: string | undefined;
  traceparent: string | undefined;
};

/** Who a socket belongs to, for all operations it carries, and what tells them that it is closed. */
export type Session = { viewer: Viewer | Refusal; gone: AbortController };

/** bytes; of a client that reads as fast as it is told no more are waiting */
const waitingForFastClient = 16 * 1_024;
/** of the reason that a socket is closed with: as many as fit into its frame, whatever they are */
const maxReasonChars = 41;
const maxReasonBytes = 123;

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

  /** of a client that has not said yet who it is */
  initTimer: NodeJS.Timeout | undefined;
  /** What the protocol does with a message, and when the socket is closed. */
  receive: ((message: string) => Promise<void>) | undefined;
  closed: ((code: number, reason: string) => Promise<void>) | undefined;

  /** what carries its frames */
  carrier: Duplex | undefined;
  #isHolding = false;

  /** As the protocol asks for it. */
  onMessage(receive: (message: string) => Promise<void>): void {
    this.receive = receive;
  }

  /**
   * What is sent in one turn of the event loop shares a write: the last update of a stream and its end do, and all that
   * the streams of one socket are told meanwhile. The protocol sends the next message when this one is: at once, until
   * much waits for a client that is slow. What cannot be sent is for a socket that is gone, as its close tells.
   */
  // oxlint-disable-next-line typescript/no-misused-promises -- the protocol waits for it, and nobody else sends
  override send(data: unknown): Promise<void> | undefined {
    if (this.readyState !== this.OPEN) return undefined;
    this.#holdForThisTurn();
    if (this.bufferedAmount >= waitingForFastClient) {
      return new Promise((sent) => super.send(data as string, () => sent()));
    }
    super.send(data as string, ignore);
    return undefined;
  }

  /** With as much of the reason as there is room for: it may quote a client. */
  override close(code?: number, reason?: string): void {
    const isLong = reason !== undefined && Buffer.byteLength(reason) > maxReasonBytes;
    super.close(code, isLong ? reason.slice(0, maxReasonChars) : reason);
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
