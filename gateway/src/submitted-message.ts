import { type OutgoingMessage, toMessage } from '@prequal/messaging';
import type { Stranded } from '@prequal/persistence';
import { createEvent, type LoanType, parsePaise } from '@prequal/schema';
import { childOf, type Trace } from '@prequal/service';

export type SubmittedFacts = {
  eventId: string;
  applicationId: string;
  panCiphertext: Buffer;
  monthlyIncomePaise: number;
  loanAmountPaise: number;
  loanType: LoanType;
  time: Date;
  trace: Trace;
};

/** The message that brings an application into the pipeline. */
export function submittedMessage(facts: SubmittedFacts): OutgoingMessage {
  const event = createEvent('applicationSubmitted', {
    id: facts.eventId,
    source: 'gateway',
    applicationId: facts.applicationId,
    time: facts.time,
    trace: facts.trace,
    data: {
      panCiphertext: facts.panCiphertext.toString('base64'),
      monthlyIncomeInr: facts.monthlyIncomePaise,
      loanAmountInr: facts.loanAmountPaise,
      loanType: facts.loanType,
    },
  });
  return toMessage('applicationSubmitted', event);
}

/**
 * The same event again, for an application whose message was lost, in a message with an id of its own: the
 * broker may remember the first id although it has lost the message.
 */
export function resubmittedMessage(stranded: Stranded, messageId: string): OutgoingMessage {
  const message = submittedMessage({
    eventId: stranded.eventId,
    applicationId: stranded.id,
    panCiphertext: stranded.panCiphertext,
    monthlyIncomePaise: stored(parsePaise(stranded.monthlyIncomeInr)),
    loanAmountPaise: stored(parsePaise(stranded.loanAmountInr)),
    loanType: stranded.loanType,
    time: new Date(stranded.createdAt),
    trace: { correlationId: stranded.correlationId, traceparent: childOf(undefined) },
  });
  return { ...message, id: messageId };
}

function stored<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('a stored application is not what the database guarantees');
  return value;
}
