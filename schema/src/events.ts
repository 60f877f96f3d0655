import { z } from 'zod';
import { applicationStatuses, cibilScoreRange, loanTypes } from './application.ts';
import { rupees } from './money.ts';

/**
 * Every event of the system, in the order they happen. An event travels as a CloudEvents 1.0 envelope
 * (JSON, structured mode) on a subject that ends in its application's id. Writer and reader use the same
 * zod object: `encodeEvent` and `decodeEvent` are the only ways in and out.
 */

const instant = z.codec(z.iso.datetime(), z.date(), {
  decode: (text) => new Date(text),
  encode: (date) => date.toISOString(),
});

const reason = z.object({ code: z.string().regex(/^[A-Z][A-Z0-9_]*$/), message: z.string().min(1).max(2_000) });

function eventOf<const Type extends string, Data extends z.ZodType>(type: Type, data: Data) {
  return z.object({
    specversion: z.literal('1.0'),
    /** Also the broker's `Nats-Msg-Id` and, for changes of status, the id of the row in application_events. */
    id: z.uuid(),
    source: z.string().min(1),
    type: z.literal(type),
    /** the application's id */
    subject: z.uuid(),
    time: instant,
    datacontenttype: z.literal('application/json'),
    correlationid: z.string().min(1).max(128),
    traceparent: z.string().regex(/^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/),
    data,
  });
}

/** An application was stored and waits to be scored. Carries the PAN encrypted, for scoring alone. */
export const applicationSubmitted = eventOf(
  'prequal.application.submitted.v1',
  z.object({
    /** see `@prequal/pan`: authenticated encryption bound to the application's id */
    panCiphertext: z.base64(),
    monthlyIncomeInr: rupees,
    loanAmountInr: rupees,
    loanType: z.enum(loanTypes),
  }),
);

/** What the bureau said: a score, or that it knows no history, which is not a score. */
export const bureauReport = z.discriminatedUnion('result', [
  z.object({
    result: z.literal('SCORED'),
    score: z.int().min(cibilScoreRange.min).max(cibilScoreRange.max),
    bureau: z.string().min(1),
  }),
  z.object({ result: z.literal('NO_HISTORY'), bureau: z.string().min(1) }),
]);
export type BureauReport = z.output<typeof bureauReport>;

/** The bureau has answered; the decision can be made. */
export const creditReportGenerated = eventOf('prequal.credit-report.generated.v1', z.object({ report: bureauReport }));

/** The status of an application changed; this is what its watchers are told. */
export const statusChanged = eventOf(
  'prequal.application.status-changed.v1',
  z.object({
    status: z.enum(applicationStatuses),
    version: z.int().min(1),
    cibilScore: z.int().min(cibilScoreRange.min).max(cibilScoreRange.max).nullable(),
    reasons: z.array(reason),
  }),
);

export const events = {
  applicationSubmitted: { schema: applicationSubmitted, subjectPrefix: 'loan.applications.submitted' },
  creditReportGenerated: { schema: creditReportGenerated, subjectPrefix: 'loan.credit-reports.generated' },
  statusChanged: { schema: statusChanged, subjectPrefix: 'loan.applications.status' },
} as const;

export type EventName = keyof typeof events;
export type EventOf<Name extends EventName> = z.output<(typeof events)[Name]['schema']>;

/** What differs from one event to the next; `createEvent` adds what does not. */
export type EventFacts<Name extends EventName> = {
  id: string;
  /** the service that says so, e.g. `gateway` */
  source: string;
  applicationId: string;
  time: Date;
  trace: { correlationId: string; traceparent: string };
  data: EventOf<Name>['data'];
};

/** A complete envelope. It is checked when it is encoded. */
export function createEvent<Name extends EventName>(name: Name, facts: EventFacts<Name>): EventOf<Name> {
  return {
    specversion: '1.0',
    id: facts.id,
    source: facts.source,
    type: events[name].schema.shape.type.value,
    subject: facts.applicationId,
    time: facts.time,
    datacontenttype: 'application/json',
    correlationid: facts.trace.correlationId,
    traceparent: facts.trace.traceparent,
    data: facts.data,
  } as EventOf<Name>;
}

/** The subject an event of this application travels on, e.g. `loan.applications.status.<id>`. */
export function subjectOf(name: EventName, applicationId: string): string {
  return `${events[name].subjectPrefix}.${applicationId}`;
}

/** The event as it goes on the wire: JSON text of its envelope. Throws when the event is not what its schema says. */
export function encodeEvent<Name extends EventName>(name: Name, event: EventOf<Name>): string {
  return JSON.stringify(z.encode<z.ZodType<EventOf<Name>>>(schemaOf(name), event));
}

/**
 * Reads an envelope. Throws `InvalidEventError` when the text is not JSON or not this event; the message
 * names the offending paths and never a value, since a value may be personal data.
 */
export function decodeEvent<Name extends EventName>(name: Name, text: string): EventOf<Name> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new InvalidEventError('not JSON');
  }
  const parsed = schemaOf(name).safeParse(json);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => `${issue.path.join('.') || '(envelope)'}: ${issue.code}`);
  throw new InvalidEventError(problems.slice(0, 10).join('; '));
}

export class InvalidEventError extends Error {
  override readonly name = 'InvalidEventError';
}

function schemaOf<Name extends EventName>(name: Name) {
  // TypeScript does not follow an indexed generic to its one member; the map above is the proof.
  return events[name].schema as unknown as z.ZodType<EventOf<Name>>;
}
