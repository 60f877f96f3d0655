import { setTimeout as delay } from 'node:timers/promises';
import {
  type Consumed,
  type ConsumerName,
  consumers,
  decodeEvent,
  type EventOf,
  InvalidEventError,
} from '@prequal/schema';
import {
  type BatchLimits,
  backoffMs,
  Counter,
  inBatches,
  isolatingBadItems,
  type Logger,
  type Registry,
} from '@prequal/service';
import type { ConsumerMessages, JsMsg } from 'nats';
import { type Broker, BrokerAwayError } from './connect.ts';
import { deadLetter } from './dead-letter.ts';
import { type ProvisionOptions, provision } from './provision.ts';

/** Handles what waits, together. The answer has a place for each event: undefined when done, or why not. */
export type HandleBatch<Name extends ConsumerName> = (
  events: readonly EventOf<Consumed<Name>>[],
) => Promise<readonly (undefined | Error)[]>;

export type ConsumeOptions<Name extends ConsumerName> = {
  broker: Broker;
  log: Logger;
  metrics: Registry;
  provisioning: ProvisionOptions;
  limits: BatchLimits;
  /** True when a server and not the message is at fault: it is kept and tried again for as long as it takes. */
  isOutage: (error: unknown) => boolean;
  handle: HandleBatch<Name>;
};

/** A running consumer loop. */
export type Consuming = AsyncDisposable & {
  /** False until the streams are provisioned and the first pull has begun, and while that fails. */
  isConsuming: () => boolean;
};

/** Before each further try of a message whose handler failed; the last one repeats. */
const retryDelaysMs = [0, 5_000, 15_000, 60_000, 300_000] as const;
const outageRetry = { baseMs: 1_000, maxMs: 15_000 };
const restart = { baseMs: 250, maxMs: 5_000 };

/**
 * The one consumer loop: pulls from the durable consumer `name`, checks each message against its schema,
 * hands what waits to the handler, and acknowledges after the handler's effect is durable. A malformed
 * message is dead-lettered at once; none holds up the others. Disposing stops pulling and waits for what
 * is in hand; whatever was not acknowledged then is delivered again.
 */
export function consume<Name extends ConsumerName>(name: Name, options: ConsumeOptions<Name>): Consuming {
  const { broker, log, limits } = options;
  const handled = new Counter({
    name: 'prequal_messages_total',
    help: 'Messages by what became of them',
    labelNames: ['consumer', 'outcome'],
    registers: [options.metrics],
  });
  const handle = inBatches(isolatingBadItems(options.handle, options.isOutage), limits);
  const inHand = new Set<Promise<void>>();
  const stopping = new AbortController();
  let messages: ConsumerMessages | undefined;
  let pulling = false;

  async function settle(message: JsMsg): Promise<void> {
    let event: EventOf<Consumed<Name>>;
    try {
      event = decodeEvent<Consumed<Name>>(consumers[name].consumes, message.string());
      if (!message.subject.endsWith(`.${event.subject}`))
        throw new InvalidEventError('subject: not the one it came on');
    } catch (error) {
      if (!(error instanceof InvalidEventError)) throw error;
      await deadLetter(broker, name, message, { errorClass: 'INVALID_MESSAGE', error: error.message });
      handled.inc({ consumer: name, outcome: 'dead_lettered' });
      log.error({ subject: message.subject, problem: error.message }, 'malformed message dead-lettered');
      return;
    }
    await handle(event);
    message.ack();
    handled.inc({ consumer: name, outcome: 'handled' });
  }

  async function take(message: JsMsg): Promise<void> {
    try {
      await settle(message);
    } catch (error) {
      const attempt = message.info.deliveryCount;
      const outage = error instanceof BrokerAwayError || options.isOutage(error);
      const delayMs = outage
        ? backoffMs(attempt, outageRetry)
        : backoffMs(1, {
            baseMs: retryDelaysMs[attempt - 1] ?? retryDelaysMs.at(-1) ?? 0,
            maxMs: Number.POSITIVE_INFINITY,
          });
      log.warn({ err: error, subject: message.subject, attempt, delayMs }, 'message will be tried again');
      handled.inc({ consumer: name, outcome: outage ? 'put_off' : 'retried' });
      message.nak(delayMs);
    }
  }

  async function pull(): Promise<void> {
    const { js, jsm } = await broker.jetStream();
    await provision(jsm, options.provisioning);
    const consumer = await js.consumers.get(consumers[name].stream, name);
    messages = await consumer.consume({
      max_messages: 2 * limits.maxItems * limits.maxConcurrent,
      // Someone deleted it: leave the loop, provision it again, go on.
      abort_on_missing_resource: true,
    });
    pulling = true;
    if (stopping.signal.aborted) messages.stop();
    for await (const message of messages) {
      const taken = take(message);
      inHand.add(taken);
      void taken.finally(() => inHand.delete(taken));
    }
  }

  async function run(): Promise<void> {
    for (let attempt = 1; !stopping.signal.aborted; attempt += 1) {
      try {
        await pull();
        attempt = 0;
      } catch (error) {
        if (stopping.signal.aborted) return;
        pulling = false;
        log.warn({ err: error, attempt }, 'consumer interrupted, starting it again');
      }
      await delay(backoffMs(attempt + 1, restart), undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  }

  const running = run();
  return {
    isConsuming: () => pulling,
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      // stop() and not close(): close() after leaving the loop never resolves.
      messages?.stop();
      // Without a connection the first pull never began, and nothing is in hand.
      if (messages) await running;
      await Promise.all(inHand);
    },
  };
}

/** For handlers that take one event at a time; with `maxItems: 1` none waits for another. */
export function oneByOne<Name extends ConsumerName>(
  handle: (event: EventOf<Consumed<Name>>) => Promise<void>,
): HandleBatch<Name> {
  return async (events) => {
    const outcomes = await Promise.allSettled(events.map((event) => handle(event)));
    return outcomes.map((outcome) => {
      if (outcome.status === 'fulfilled') return undefined;
      return outcome.reason instanceof Error ? outcome.reason : new Error('the handler threw a value that is no Error');
    });
  };
}
