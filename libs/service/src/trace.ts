import { containsPan } from '@prequal/schema';
import { pooledRandom } from './random.ts';

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
 * lines or carry personal data), or else its trace id, which is hexadecimal whoever made it.
 */
export function traceOf(headers: { correlationId: string | undefined; traceparent: string | undefined }): Trace {
  const { correlationId: named, traceparent } = headers;
  const usable = named !== undefined && correlationPattern.test(named) && !containsPan(named);
  const child = childOf(traceparent);
  return { correlationId: usable ? named : traceIdOf(child), traceparent: child };
}

/** The traceparent of a new span below `parent`, or of a new sampled trace when there is none. */
export function childOf(parent: string | undefined): string {
  const match = parent === undefined ? null : traceparentPattern.exec(parent);
  return `00-${match?.[1] ?? randomHex(16)}-${randomHex(8)}-${match?.[2] ?? '01'}`;
}

function traceIdOf(traceparent: string): string {
  return traceparent.slice(3, 35);
}

function randomHex(bytes: number): string {
  return pooledRandom(bytes).toString('hex');
}
