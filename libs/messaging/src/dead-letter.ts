import { type ConsumerName, deadLetterSubject } from '@prequal/schema';
import { headers, type JsMsg } from 'nats';
import type { Broker } from './connect.ts';

/** Why a message can never be handled. `error` names paths and rules, never values. */
export type DeadLetterCause = { errorClass: 'INVALID_MESSAGE'; error: string };

const publishTimeoutMs = 5_000;

/**
 * Moves a message to LOAN_DLQ with its cause, then takes it from its consumer. In this order: a crash
 * between the two leaves the message twice (the second one is dropped by its id), never nowhere.
 */
export async function deadLetter(
  broker: Broker,
  consumer: ConsumerName,
  message: JsMsg,
  cause: DeadLetterCause,
): Promise<void> {
  const { stream, streamSequence, deliveryCount } = message.info;
  const about = headers();
  about.set('prequal-consumer', consumer);
  about.set('prequal-error-class', cause.errorClass);
  about.set('prequal-error', cause.error);
  about.set('prequal-subject', message.subject);
  about.set('prequal-stream-sequence', String(streamSequence));
  about.set('prequal-deliveries', String(deliveryCount));
  for (const name of ['traceparent', 'correlation-id']) {
    const value = message.headers?.get(name);
    if (value) about.set(name, value);
  }
  await broker.connectedJetStream().publish(deadLetterSubject(consumer), message.data, {
    msgID: `${consumer}:${stream}:${streamSequence}`,
    headers: about,
    timeout: publishTimeoutMs,
  });
  message.term();
}
