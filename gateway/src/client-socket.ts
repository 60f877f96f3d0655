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

  // What could not be written was for a socket that is gone, as its close tells; the library would print each time.
  override send(data: unknown, sent?: unknown): void {
    super.send(data as string, () => typeof sent === 'function' && sent());
  }
}
