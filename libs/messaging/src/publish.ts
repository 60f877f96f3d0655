import { type EventName, type EventOf, encodeEvent, subjectOf } from '@prequal/schema';
import { headers } from 'nats';
import { z } from 'zod';
import type { Broker } from './connect.ts';

/** An encoded event on its way to the broker, as the outbox keeps it. */
export type OutgoingMessage = {
  /** the event's id: the broker drops a second message with it, for as long as it remembers */
  id: string;
  subject: string;
  /** the envelope as JSON text, see `encodeEvent` */
  message: string;
  /** as the envelope has it; without it the envelope is read */
  trace?: MessageTrace;
};

type MessageTrace = { correlationid: string; traceparent: string };

// Anybody's, within the limits of an envelope, which are not those of a header.
const isHeaderValue = (value: string) => /^[\x20-\x7e]+$/.test(value);
const headerValue = z.string().refine(isHeaderValue);
const traced = z.object({ correlationid: headerValue, traceparent: headerValue });

/** Publishes and returns once JetStream has stored the message. Throws `BrokerAwayError`, see `Broker.publish`. */
export async function publishMessage(broker: Broker, outgoing: OutgoingMessage): Promise<void> {
  const about = headers();
  about.set('Nats-Msg-Id', outgoing.id);
  const trace = outgoing.trace ?? traceIn(outgoing.message);
  if (trace && isHeaderValue(trace.correlationid)) {
    about.set('traceparent', trace.traceparent);
    about.set('correlation-id', trace.correlationid);
  }
  await broker.publish(outgoing.subject, outgoing.message, about);
}

/** Undefined for what is no sound envelope: a malformed message that an operator replays. */
function traceIn(message: string): MessageTrace | undefined {
  try {
    return traced.parse(JSON.parse(message));
  } catch {
    return undefined;
  }
}

/** The event as a message on its subject. Throws when it is not what its schema says. */
export function toMessage<Name extends EventName>(name: Name, event: EventOf<Name>): OutgoingMessage {
  const { id, subject, correlationid, traceparent } = event;
  return {
    id,
    subject: subjectOf(name, subject),
    message: encodeEvent(name, event),
    trace: { correlationid, traceparent },
  };
}
