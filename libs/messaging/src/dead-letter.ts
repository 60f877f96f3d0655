import { containsPan, deadLetterSubject } from '@prequal/schema';
import { headers, type JsMsg, type MsgHdrs } from 'nats';
import { v5 as uuidFrom } from 'uuid';
import { z } from 'zod';
import { type Broker, BrokerAwayError } from './connect.ts';
import type { ErrorClass } from './failures.ts';

/** Why a message is given up. `error` names classes, paths and rules, never values. */
export type DeadLetterCause = { errorClass: ErrorClass; error: string };

const publishTimeoutMs = 5_000;
/** The server takes 1 MiB with its headers, and ours come on top of what it took before. */
const maxPayloadBytes = 1_000_000;
const namespace = '8f0e1a52-3c57-4f5a-9d0b-6c1f3b7a2e44';
const uuidAtEnd = /\.([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$/;

/**
 * What the copies of a message have in common, so that each is one dead letter and one set of notes: the
 * event's id, else one made of the publisher's message id or of its place in the stream at its time.
 */
export function identityOf(message: JsMsg, eventId: string | undefined): string {
  const { stream, streamSequence, timestampNanos } = message.info;
  if (eventId !== undefined) return eventId;
  // Somebody else's id may hold anything, and this one becomes part of a subject.
  const foreign = headersOf(message)?.get('Nats-Msg-Id') || `${stream}:${streamSequence}:${timestampNanos}`;
  return uuidFrom(foreign, namespace);
}

/**
 * Moves a message to LOAN_DLQ with its cause, then takes it from its consumer. In this order: a crash
 * between the two leaves the message twice (the second one is dropped by its id), never nowhere.
 * Throws `BrokerAwayError`.
 */
export async function deadLetter(
  broker: Broker,
  consumer: string,
  message: JsMsg,
  identity: string,
  cause: DeadLetterCause,
): Promise<void> {
  const id = uuidFrom(`${consumer}:${identity}`, namespace);
  const applicationId = uuidAtEnd.exec(message.subject)?.[1];
  const about = headers();
  about.set('prequal-id', id);
  about.set('prequal-consumer', consumer);
  about.set('prequal-error-class', cause.errorClass);
  const tooLarge = message.data.length > maxPayloadBytes;
  const { stream, streamSequence } = message.info;
  const whereabouts = tooLarge ? `; too large to be kept here, it is message ${streamSequence} of ${stream}` : '';
  about.set('prequal-error', (cause.error + whereabouts).replaceAll(/\p{Cc}+/gu, ' '));
  about.set('prequal-subject', message.subject);
  about.set('prequal-deliveries', String(message.info.deliveryCount));
  if (applicationId !== undefined) about.set('prequal-application-id', applicationId);
  for (const name of ['traceparent', 'correlation-id']) {
    const value = headersOf(message)?.get(name);
    if (value && isCopyable(value)) about.set(name, value);
  }
  try {
    await broker
      .connectedJetStream()
      .publish(deadLetterSubject(consumer, applicationId), tooLarge ? '' : message.data, {
        msgID: id,
        headers: about,
        timeout: publishTimeoutMs,
      });
  } catch (error) {
    throw new BrokerAwayError('JetStream did not store a dead letter', { cause: error });
  }
  message.term();
}

/** Undefined also for headers that the library refuses to read, e.g. with a line feed in a value. */
function headersOf(message: JsMsg): MsgHdrs | undefined {
  try {
    return message.headers;
  } catch {
    return undefined;
  }
}

/** Whoever wrote it: it breaks no header, fits beside the largest message, and holds no PAN. */
function isCopyable(value: string): boolean {
  return /^[\x20-\x7e]{1,128}$/.test(value) && !containsPan(value);
}

// PostgreSQL keeps no NUL in a text.
const text = z
  .string()
  .max(2_000)
  .transform((value) => value.replaceAll(/\p{Cc}+/gu, ' '))
  .optional()
  .catch(undefined);

const deadLetterHeaders = z.object({
  'prequal-id': z.uuid().optional().catch(undefined),
  // They label figures, so they are words and no sentences, whoever wrote them.
  'prequal-consumer': z
    .string()
    .regex(/^[a-z-]{1,40}$/)
    .optional()
    .catch(undefined),
  'prequal-error-class': z
    .string()
    .regex(/^[A-Z_]{1,40}$/)
    .optional()
    .catch(undefined),
  'prequal-error': text,
  'prequal-subject': text,
  'prequal-deliveries': z.coerce.number().int().min(1).catch(1),
  'prequal-application-id': z.uuid().optional().catch(undefined),
  'correlation-id': text,
  traceparent: text,
});

/** A message that was given up, as it is recorded. */
export type DeadLetter = {
  id: string;
  consumer: string;
  /** where the message came from, and goes when it is replayed */
  subject: string;
  applicationId: string | undefined;
  errorClass: string;
  error: string;
  deliveries: number;
  correlationId: string | undefined;
  traceparent: string | undefined;
  payload: Uint8Array;
};

/** Reads what `deadLetter` wrote. Never throws: what somebody else put into the stream is a dead letter too. */
export function readDeadLetter(message: JsMsg): DeadLetter {
  const given = Object.fromEntries([...(headersOf(message) ?? [])].map(([name, [value]]) => [name, value]));
  const about = deadLetterHeaders.parse(given);
  return {
    id: about['prequal-id'] ?? identityOf(message, undefined),
    consumer: about['prequal-consumer'] ?? 'unknown',
    subject: about['prequal-subject'] ?? message.subject,
    applicationId: about['prequal-application-id'],
    errorClass: about['prequal-error-class'] ?? 'INVALID_MESSAGE',
    error: about['prequal-error'] ?? 'was put into the stream by somebody else',
    deliveries: about['prequal-deliveries'],
    correlationId: about['correlation-id'],
    traceparent: about.traceparent,
    payload: message.data,
  };
}
