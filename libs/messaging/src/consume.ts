import { setTimeout as delay } from 'node:timers/promises';
import {
  type Consumed,
  type ConsumerName,
  consumers,
  deadLetterConsumer,
  decodeEvent,
  type EventOf,
  InvalidEventError,
  type StreamName,
} from '@prequal/schema';
import {
  type BatchLimits,
  backoffMs,
  counterOf,
  inBatches,
  isolatingBadItems,
  type Logger,
  type Registry,
} from '@prequal/service';
import type { JsMsg } from 'nats';
import { type Broker, stopFlushMs } from './connect.ts';
import { type DeadLetter, readDeadLetter } from './dead-letter.ts';
import { retryTable } from './failures.ts';
import { createInHand } from './in-hand.ts';
import { isNotFound, type ProvisionOptions, provision } from './provision.ts';
import { openPuller, type Puller } from './pull.ts';
import { createSettle, HandedBackError, type Outcome } from './settle.ts';

/**
 * Handles what waits, together. The answer has a place for each item: undefined when done, or why not; a promise when
 * that is known later, and the next items need not wait for it.
 */
export type HandleBatch<Item> = (
  items: readonly Item[],
) => Promise<readonly (undefined | Error | Promise<undefined>)[]>;

export type ConsumeOptions<Item> = {
  broker: Broker;
  log: Logger;
  metrics: Registry;
  provisioning: WorkerProvisioning;
  limits: BatchLimits;
  /** waits before each further try of a message whose handler failed, milliseconds; see `retryTable` */
  retryDelaysMs: readonly number[];
  /** True when a server and not the message is at fault: it is kept and tried again for as long as it takes. */
  isOutage: (error: unknown) => boolean;
  /** The process ends when a handler takes longer, and will never end. Default: ten times `ackWaitMs` */
  handlingMaxMs?: number;
  handle: HandleBatch<Item>;
};

/** Without `replicas` the worker may not make streams and consumers: it waits until somebody else has. */
export type WorkerProvisioning = Pick<ProvisionOptions, 'ackWaitMs'> & Partial<ProvisionOptions>;

/** A running consumer loop. */
export type Consuming = AsyncDisposable & {
  /** False until the streams are provisioned and the first pull has begun, and while that fails. */
  isConsuming: () => boolean;
};

/** What one loop reads, and how. */
type Source<Item> = {
  consumer: string;
  stream: StreamName;
  read: (message: JsMsg) => { eventId: string | undefined; item: Item };
  givesUp: boolean;
};

/** Consumes the events that the pipeline map gives to `name`. A message that is not such an event is dead-lettered. */
export function consume<Name extends ConsumerName>(
  name: Name,
  options: ConsumeOptions<EventOf<Consumed<Name>>>,
): Consuming {
  const { stream, consumes } = consumers[name];
  const read = (message: JsMsg) => {
    const item = decodeEvent<Consumed<Name>>(consumes, message.string());
    if (!message.subject.endsWith(`.${item.subject}`)) throw new InvalidEventError('subject: not the one it came on');
    return { eventId: item.id, item };
  };
  return runLoop({ consumer: name, stream, read, givesUp: true }, options);
}

/** Consumes what the other consumers gave up. A dead letter is never given up itself. */
export function consumeDeadLetters(options: ConsumeOptions<DeadLetter>): Consuming {
  const { name, stream } = deadLetterConsumer;
  const read = (message: JsMsg) => {
    const item = readDeadLetter(message);
    return { eventId: item.id, item };
  };
  return runLoop({ consumer: name, stream, read, givesUp: false }, options);
}

const outageRetry = { baseMs: 500, maxMs: 15_000 };
const restart = { baseMs: 250, maxMs: 5_000 };
/** for who waits until another has made what is missing */
const missing = { baseMs: 125, maxMs: 1_000 };
/** Services start together, and so that one waits is worth a warning only after some seconds. */
const waitingLevel = (waits: number) => (waits === 1 ? 'info' : waits === 10 ? 'warn' : 'debug');

/**
 * The one consumer loop: pulls from a durable consumer and settles each message by itself, see
 * `createSettle`. While a server is away it pulls nothing; then it takes a single message, and all others
 * only after that one was handled, so that nobody stampedes what has just come back. Disposing stops
 * pulling, waits for what is in hand and hands back what was not begun.
 */
function runLoop<Item extends {}>(source: Source<Item>, options: ConsumeOptions<Item>): Consuming {
  const { consumer: name } = source;
  const { broker, log, limits } = options;
  const { ackWaitMs, replicas } = options.provisioning;
  const outcomes = counterOf(options.metrics, {
    name: 'prequal_messages_total',
    help: 'Messages by what became of them',
    labelNames: ['consumer', 'outcome'],
  });
  // As much again as is being handled, so that nobody waits for the next pull.
  const maxInHand = 2 * limits.maxItems * limits.maxConcurrent;
  const inHand = createInHand(ackWaitMs, options.handlingMaxMs ?? 10 * ackWaitMs);
  const stopping = new AbortController();
  /** times in a row that a server was found to be away; 0 means that messages flow */
  let outages = 0;
  let connectedOnce = false;
  // Not before each pull: in a cluster one stream may have no leader for seconds, and ours has one.
  let provisioned = false;
  let pulling = false;
  /** after an outage: the one message that tells whether it is over */
  let probing: { taken?: Promise<Outcome> } | undefined;

  const handle = inBatches(
    isolatingBadItems<Item, undefined>(async (items) => {
      if (stopping.signal.aborted) return items.map(() => new HandedBackError());
      return options.handle(items);
    }, options.isOutage),
    limits,
  );
  const isFlowing = () => outages === 0 && !stopping.signal.aborted;
  const outageDelayMs = () => backoffMs(Math.max(1, outages), outageRetry);
  const settle = createSettle<Item>({
    broker,
    consumer: name,
    log,
    read: source.read,
    handle,
    isOutage: options.isOutage,
    isStopping: () => stopping.signal.aborted,
    outageDelayMs,
    retries: retryTable(options.retryDelaysMs),
    ackWaitMs,
    givesUp: source.givesUp,
  });

  async function take(message: JsMsg): Promise<Outcome> {
    const outcome = await inHand.hold(message, settle);
    outcomes.inc({ consumer: name, outcome });
    if (outcome === 'late') log.warn({ subject: message.subject }, 'in hand for too long, another worker has it now');
    if (outcome === 'put_off') outages = Math.max(1, outages);
    return outcome;
  }

  function onMessage(message: JsMsg): void {
    if (outages === 0) void take(message);
    else if (probing && !probing.taken) probing.taken = take(message);
    else message.nak(outageDelayMs());
  }

  /** True when messages may flow again: one was handled, or failed of its own, or none was there. */
  async function probe(puller: Puller): Promise<boolean> {
    const probed: typeof probing = {};
    probing = probed;
    await puller.pull(1).finally(() => (probing = undefined));
    return (await probed.taken) !== 'put_off';
  }

  async function pull(): Promise<void> {
    const { jsm } = await broker.jetStream();
    connectedOnce = true;
    if (!provisioned && replicas !== undefined) await provision(jsm, { replicas, ackWaitMs });
    provisioned = true;
    await using puller = await openPuller(broker, { stream: source.stream, durable: name }, onMessage);
    pulling = true;
    if (outages > 0 && !(await probe(puller))) {
      outages += 1;
      return;
    }
    outages = 0;
    while (isFlowing()) await puller.pull(await inHand.room(maxInHand));
  }

  async function run(): Promise<void> {
    /** since messages flowed, times that there was no stream or no consumer */
    let waits = 0;
    for (let attempt = 1; !stopping.signal.aborted; attempt += 1) {
      let waiting = false;
      try {
        await pull();
        attempt = 0;
      } catch (error) {
        if (stopping.signal.aborted) return;
        if (pulling) waits = 0;
        pulling = false;
        // The stream or the consumer was deleted, or the server has lost its store.
        const isMissing = isNotFound(error);
        if (isMissing) provisioned = false;
        waiting = isMissing && replicas === undefined;
        if (waiting) {
          waits += 1;
          log[waitingLevel(waits)](
            { consumer: name, waits },
            'waiting for decisioning to make the stream and its consumer',
          );
        } else {
          log.warn({ err: error, attempt }, 'consumer interrupted, starting it again');
        }
      }
      const backingOffMs = waiting ? backoffMs(waits + 1, missing) : backoffMs(attempt + 1, restart);
      const waitMs = outages > 0 && !waiting ? outageDelayMs() : backingOffMs;
      await delay(waitMs, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  }

  const running = run();
  return {
    isConsuming: () => pulling,
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      // Before the first connection nothing has begun, and nobody knows when there will be one.
      if (connectedOnce) await running;
      await inHand[Symbol.asyncDispose]();
      await settle[Symbol.asyncDispose]();
      // What was handed back is on its way when the connection closes.
      await broker.flush(stopFlushMs);
    },
  };
}

/** For handlers that take one item at a time; with `maxItems: 1` none waits for another. */
export function oneByOne<Item>(handle: (item: Item) => Promise<void>): HandleBatch<Item> {
  return async (items) => {
    const outcomes = await Promise.allSettled(items.map((item) => handle(item)));
    return outcomes.map((outcome) => {
      if (outcome.status === 'fulfilled') return undefined;
      return outcome.reason instanceof Error ? outcome.reason : new Error('the handler threw a value that is no Error');
    });
  };
}
