import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { beginningOf, type Durable, dedupeWindowMs, durables, type Stream, streams } from '@prequal/schema';
import { backoffMs, type Logger } from '@prequal/service';
import type { ConsumerConfig, JetStreamManager } from 'nats';
import { AckPolicy, DeliverPolicy, DiscardPolicy, NatsError, nanos, RetentionPolicy, StorageType } from 'nats';
import type { Broker } from './connect.ts';

export type ProvisionOptions = {
  /** copies of each stream: 1 locally, 3 in a cluster */
  replicas: number;
  /** a message whose worker has not been heard of for this long is given to another */
  ackWaitMs: number;
};

const maxAckPending = 10_000;
/**
 * A consumer that was deleted begins here and not with all that the stream keeps, which would ask the bureau about a
 * week of people once more. What is older and still waits for its decision, the reconciler gives back.
 */
const newConsumerReadsMs = 10 * 60 * 1_000;

/**
 * Creates every stream and durable consumer of the pipeline map, and updates those that differ, e.g. in the
 * number of replicas. Doing it again only looks: in a cluster an update that changes nothing still makes the
 * servers agree on it, and while several processes do so at once, some are never answered.
 */
export async function provision(jsm: JetStreamManager, { replicas, ackWaitMs }: ProvisionOptions): Promise<void> {
  for (const [name, stream] of Object.entries<Stream>(streams)) {
    const config = {
      name,
      subjects: [...stream.subjects],
      storage: StorageType.File,
      retention: RetentionPolicy.Limits,
      discard: stream.discard === 'new' ? DiscardPolicy.New : DiscardPolicy.Old,
      max_age: nanos(stream.maxAgeMs),
      max_msgs_per_subject: stream.maxPerSubject ?? -1,
      duplicate_window: nanos(dedupeWindowMs),
      num_replicas: replicas,
    };
    const known = await unlessNotFound(jsm.streams.info(name));
    if (!known) await jsm.streams.add(config);
    else if (!says(known.config, config)) await jsm.streams.update(name, config);
  }
  for (const durable of durables) {
    const { name, stream } = durable;
    // Neither `backoff` (it stretches our own delays) nor `max_deliver` (a message would silently disappear).
    const config = {
      durable_name: name,
      ack_policy: AckPolicy.Explicit,
      ack_wait: nanos(ackWaitMs),
      max_ack_pending: maxAckPending,
      num_replicas: replicas,
    };
    const known = await unlessNotFound(jsm.consumers.info(stream, name));
    if (!known) await jsm.consumers.add(stream, { ...config, ...(await beginning(jsm, durable)) });
    else if (!says(known.config, config)) await jsm.consumers.add(stream, { ...known.config, ...config });
  }
}

async function beginning(jsm: JetStreamManager, durable: Durable): Promise<Partial<ConsumerConfig>> {
  if (!durable.isReconciled) return { deliver_policy: DeliverPolicy.All };
  // Asked of a consumer that goes by itself: one that was made with a time can never be changed (nats-server 2.9).
  const { delivered } = await jsm.consumers.add(durable.stream, {
    name: beginningOf(durable.name),
    ack_policy: AckPolicy.None,
    deliver_policy: DeliverPolicy.StartTime,
    opt_start_time: new Date(Date.now() - newConsumerReadsMs).toISOString(),
    inactive_threshold: nanos(1_000),
    mem_storage: true,
  });
  return { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: delivered.stream_seq + 1 };
}

function says(known: object, wanted: Record<string, unknown>): boolean {
  const given = new Map(Object.entries(known));
  return Object.entries(wanted).every(([key, value]) => isDeepStrictEqual(given.get(key), value));
}

/** Undefined when there is no such stream, consumer or message. */
export async function unlessNotFound<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** True when the broker says that there is no such stream, consumer or message. */
export function isNotFound(error: unknown): boolean {
  return error instanceof NatsError && error.api_error?.code === 404;
}

const retry = { baseMs: 250, maxMs: 5_000 };

/** streams that somebody deleted are back after this at the latest */
const reprovisionMs = 5_000;

/**
 * Provisions after each connect until it has worked, since the server that came back may have lost its
 * store, and again now and then, since somebody may have deleted a stream.
 */
export function keepProvisioned(broker: Broker, options: ProvisionOptions, log: Logger): Disposable {
  let connection = new AbortController();
  const listener = broker.onConnect(() => {
    connection.abort();
    connection = new AbortController();
    void whileConnected(connection.signal);
  });

  async function whileConnected(signal: AbortSignal): Promise<void> {
    for (let attempt = 1; broker.isConnected() && !signal.aborted; attempt += 1) {
      let pauseMs = reprovisionMs * (0.5 + Math.random() / 2);
      try {
        const { jsm } = await broker.jetStream();
        await provision(jsm, options);
        attempt = 0;
      } catch (error) {
        if (signal.aborted) return;
        log.warn({ err: error, attempt }, 'streams not provisioned, will be tried again');
        pauseMs = backoffMs(attempt, retry);
      }
      await delay(pauseMs, undefined, { signal }).catch(() => undefined);
    }
  }

  return {
    [Symbol.dispose]: () => {
      connection.abort();
      listener[Symbol.dispose]();
    },
  };
}
