import { type EventName, type EventOf, encodeEvent, subjectOf } from '@prequal/schema';
import { headers } from 'nats';
import { z } from 'zod';
import { type Broker, BrokerAwayError } from './connect.ts';

/** An encoded event on its way to the broker, as the outbox keeps it. */
export type OutgoingMessage = {
  /** the event's id: the broker drops a second message with it, for as long as it remembers */
  id: string;
  subject: string;
  /** the envelope as JSON text, see `encodeEvent` */
  message: string;
};

const publishTimeoutMs = 5_000;
// In a message that an operator replays they may hold what no header may.
const headerValue = z.string().regex(/^[\x20-\x7e]+$/);
const traced = z.object({ correlationid: headerValue, traceparent: headerValue });

/**
 * Publishes and returns once JetStream has stored the message. Throws `BrokerAwayError`: at once
 * without a connection, or when the broker refuses (no stream, a full one) or does not answer within 5 s.
 * None of these is the message's fault.
 */
export async function publishMessage(broker: Broker, { id, subject, message }: OutgoingMessage): Promise<void> {
  const js = broker.connectedJetStream();
  const messageHeaders = headers();
  const trace = traceIn(message);
  if (trace) {
    messageHeaders.set('traceparent', trace.traceparent);
    messageHeaders.set('correlation-id', trace.correlationid);
  }
  try {
    await js.publish(subject, message, { msgID: id, headers: messageHeaders, timeout: publishTimeoutMs });
  } catch (error) {
    throw new BrokerAwayError('JetStream did not store a message', { cause: error });
  }
}

/** Undefined for what is no sound envelope: a malformed message that an operator replays. */
function traceIn(message: string): z.output<typeof traced> | undefined {
  try {
    return traced.parse(JSON.parse(message));
  } catch {
    return undefined;
  }
}

/** The event as a message on its subject. Throws when it is not what its schema says. */
export function toMessage<Name extends EventName>(name: Name, event: EventOf<Name>): OutgoingMessage {
  return { id: event.id, subject: subjectOf(name, event.subject), message: encodeEvent(name, event) };
}
