import { setTimeout as delay } from 'node:timers/promises';
import type { StreamName } from '@prequal/schema';
import { type JsMsg, nanos } from 'nats';
// Not exported, and the only way to settle a message that came on a subscription of our own.
import { toJsMsg } from 'nats/lib/jetstream/jsmsg.js';
import { type Broker, stopFlushMs } from './connect.ts';

/** How long one request for messages stays open; a stop waits for it, since what is on its way then would be lost. */
const pullMs = 1_000;
/** A busy nats-server before 2.10, and one that is gone, do not say that a request has ended: then the clock does. */
const graceMs = 20;

/** Asks a durable consumer for messages, one request at a time. Disposing takes what is still on its way. */
export type Puller = AsyncDisposable & {
  /**
   * Asks for up to `max` messages, and answers once they have come or no more will. Throws when the consumer
   * is gone or has no leader now.
   */
  pull: (max: number) => Promise<void>;
};

/**
 * All requests of a puller have one subscription, which outlives each of them: a message that comes late,
 * when its request has ended, is taken like any other. The library's own pulls stop listening 50 ms after a
 * request should have ended, and what a busy machine delivers later than that comes again only after the
 * acknowledgement wait. They also read the headers of what has no content, whoever wrote them: a line feed in a
 * value ends the connection, for each process that is given the message. Throws the broker's error when the consumer does not exist.
 */
export async function openPuller(
  broker: Broker,
  { stream, durable }: { stream: StreamName; durable: string },
  onMessage: (message: JsMsg) => void,
): Promise<Puller> {
  const { jsm } = await broker.jetStream();
  await jsm.consumers.info(stream, durable);
  const inbox = broker.newInbox();
  let request = Promise.withResolvers<void>();
  let requests = 0;
  let missing = 0;

  const unsubscribe = broker.subscribe(`${inbox}.*`, (message) => {
    if (message.reply) {
      missing -= 1;
      onMessage(toJsMsg(message));
      if (missing <= 0) request.resolve();
    } else if (message.subject === `${inbox}.${requests}`) {
      const { code, description } = message.headers ?? { code: 0, description: 'an answer without a message' };
      // No more messages for this request.
      if (code === 404 || code === 408) request.resolve();
      else request.reject(new Error(`the request for messages was refused: ${code} ${description}`));
    }
    // The end of an earlier request, which the clock had ended before: the one that is open now goes on.
  });
  // What was asked before the connection broke is answered by nobody.
  const reconnected = broker.onConnect(() => request.resolve());

  return {
    pull: async (max) => {
      request = Promise.withResolvers();
      requests += 1;
      missing = max;
      broker.send(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${durable}`, {
        payload: JSON.stringify({ batch: max, expires: nanos(pullMs) }),
        replyTo: `${inbox}.${requests}`,
      });
      const answered = new AbortController();
      const limit = delay(pullMs + graceMs, undefined, { signal: answered.signal }).catch(() => undefined);
      await Promise.race([request.promise, limit]).finally(() => answered.abort());
    },
    [Symbol.asyncDispose]: async () => {
      reconnected[Symbol.dispose]();
      await broker.flush(stopFlushMs);
      unsubscribe();
    },
  };
}
