import { setTimeout as delay } from 'node:timers/promises';
import type { StreamName } from '@prequal/schema';
import { consumerOpts, type JsMsg, type NatsError } from 'nats';
import type { Broker } from './connect.ts';

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
 * when its request has ended, is taken like any other. The library's `fetch` stops listening 50 ms after a
 * request should have ended, and what a busy machine delivers later than that comes again only after the
 * acknowledgement wait. Throws the broker's error when the consumer does not exist.
 */
export async function openPuller(
  broker: Broker,
  { stream, durable }: { stream: StreamName; durable: string },
  onMessage: (message: JsMsg) => void,
): Promise<Puller> {
  const { js, jsm } = await broker.jetStream();
  await jsm.consumers.info(stream, durable);
  let request = Promise.withResolvers<void>();
  let missing = 0;

  const onDelivery = (error: NatsError | null, message: JsMsg | null): void => {
    if (message) {
      missing -= 1;
      onMessage(message);
      if (missing <= 0) request.resolve();
      // 404 and 408: no more messages for this request.
    } else if (error?.code === '404' || error?.code === '408') request.resolve();
    else request.reject(error ?? new Error('an answer without a message'));
  };
  // Without `manualAck` a message is acknowledged when the callback returns, before it is handled.
  const options = consumerOpts().bind(stream, durable).manualAck().callback(onDelivery);
  // oxlint-disable-next-line typescript/no-deprecated -- the only pull of the library whose subscription lasts
  const subscription = await js.pullSubscribe('', options);
  // What was asked before the connection broke is answered by nobody.
  const reconnected = broker.onConnect(() => request.resolve());

  return {
    pull: async (max) => {
      request = Promise.withResolvers();
      missing = max;
      subscription.pull({ batch: max, expires: pullMs });
      const answered = new AbortController();
      const limit = delay(pullMs + graceMs, undefined, { signal: answered.signal }).catch(() => undefined);
      await Promise.race([request.promise, limit]).finally(() => answered.abort());
    },
    [Symbol.asyncDispose]: async () => {
      reconnected[Symbol.dispose]();
      await broker.flush();
      subscription.unsubscribe();
    },
  };
}
