import { validationFailed } from '@prequal/schema';
import { z } from 'zod';

/** A place in a list that is sorted by the time of creation, and by id within a millisecond. */
export type Place = { createdAt: string; id: string };

const place = z.object({ createdAt: z.iso.datetime(), id: z.uuid() });

/** Opaque for clients: what is in it may change. */
export function cursorOf({ createdAt, id }: { createdAt: Date; id: string }): string {
  return Buffer.from(JSON.stringify({ createdAt, id } satisfies Record<keyof Place, unknown>)).toString('base64url');
}

/** Undefined for the beginning. Throws `Refusal` VALIDATION_FAILED for a cursor that no list has given. */
export function placeOf(cursor: string | undefined): Place | undefined {
  if (cursor === undefined) return undefined;
  try {
    return place.parse(JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')));
  } catch {
    throw validationFailed([
      { path: ['after'], code: 'INVALID_VALUE', message: 'must be a cursor that this list has given' },
    ]);
  }
}
