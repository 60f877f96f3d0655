import { randomUUID } from 'node:crypto';
import { containsPan } from '@prequal/schema';

/** What one piece of work belongs to; it crosses every process in messages, headers and logs. */
export type Trace = {
  /** named by the client in `x-correlation-id`, or made at the edge; 1 to 128 characters, see `traceOf` */
  correlationId: string;
  /** W3C trace context, version 00 */
  traceparent: string;
};

const correlationPattern = /^[A-Za-z0-9._:-]{1,128}$/;
// Ids of zeros are no ids (W3C Trace Context, 3.2.2.3 and 3.2.2.4).
const traceparentPattern = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})$/;

/**
 * The trace of a request: what the client named when it is well formed (anything else could forge log
 * lines or carry personal data, and is replaced), or a new one.
 */
export function traceOf(headers: { correlationId: string | undefined; traceparent: string | undefined }): Trace {
  const { correlationId: named, traceparent } = headers;
  const usable = named !== undefined && correlationPattern.test(named) && !containsPan(named);
  return { correlationId: usable ? named : randomHex(), traceparent: childOf(traceparent) };
}

/** The traceparent of a new span below `parent`, or of a new sampled trace when there is none. */
export function childOf(parent: string | undefined): string {
  const match = parent === undefined ? null : traceparentPattern.exec(parent);
  const traceId = match?.[1] ?? randomHex();
  return `00-${traceId}-${randomHex().slice(0, 16)}-${match?.[2] ?? '01'}`;
}

/** 32 digits, 122 bits of chance. Node keeps some UUIDs ready, where bytes cost a call to the system each time. */
function randomHex(): string {
  return randomUUID().replaceAll('-', '');
}
