import { containsPan } from '@prequal/schema';
import { backoffMs } from '@prequal/service';

/** Why a message ended as a dead letter. */
export type ErrorClass = 'INVALID_MESSAGE' | 'UNKNOWN_APPLICATION' | 'HANDLER_FAILED' | 'HANDLER_UNFINISHED';

/** A message is about an application that is not in the database: its transaction may not be visible yet. */
export class UnknownApplicationError extends Error {
  override readonly name = 'UnknownApplicationError';
}

/**
 * The one table of what becomes of a message that was not handled: the waits, in milliseconds, before each
 * further try. When they are used up the message is a dead letter. Outages are not in it: a server that is
 * away is not the message's fault, so the consumer pauses, the message is kept, and nothing is counted.
 */
export function retryTable(handlerDelaysMs: readonly number[]): Record<ErrorClass, readonly number[]> {
  return {
    // It will not become valid by waiting.
    INVALID_MESSAGE: [],
    // Its transaction becomes visible soon or never.
    UNKNOWN_APPLICATION: [200, 1_000, 5_000],
    HANDLER_FAILED: handlerDelaysMs,
    // Its handler ended or blocked the process, which has cost the time to deliver it again already.
    HANDLER_UNFINISHED: [0, 0, 0],
  };
}

export function classOf(error: unknown): ErrorClass {
  return error instanceof UnknownApplicationError ? 'UNKNOWN_APPLICATION' : 'HANDLER_FAILED';
}

/** A wait of the table with jitter (half to all of it), so that what failed together does not come back together. */
export function jittered(delayMs: number): number {
  return backoffMs(1, { baseMs: delayMs, maxMs: delayMs });
}

const maxErrorChars = 500;

/** What people are told of an error: its class and first line, without anything personal. */
export function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return 'a value that is no Error was thrown';
  const text = `${error.name}: ${error.message.split(/[\r\n]/, 1)[0] ?? ''}`.slice(0, maxErrorChars);
  return containsPan(text) ? error.name : text;
}
