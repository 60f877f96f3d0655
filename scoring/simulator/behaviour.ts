import { createHash } from 'node:crypto';
import { z } from 'zod';

/** Which requests a behaviour strikes; all of them when nothing is said. The others are answered as usual. */
const struck = {
  /** the share of requests, 0 to 1 */
  probability: z.number().min(0).max(1).default(1),
  /** With the same seed the same requests are struck, counted from when the behaviour was set. */
  seed: z.int().min(0).default(1),
  /** only requests about this application */
  applicationId: z.uuid().optional(),
};

/** How the simulator behaves; each switch has a default of its own, so that its name alone is enough. */
export const behaviour = z.discriminatedUnion('behaviour', [
  z.strictObject({ behaviour: z.literal('normal') }),
  z.strictObject({ behaviour: z.literal('noHistory'), ...struck }),
  z.strictObject({ behaviour: z.literal('notFound'), ...struck }),
  /** 503 */
  z.strictObject({ behaviour: z.literal('unavailable'), ...struck }),
  /** answers as usual, but late: by default too late for scoring's default patience */
  z.strictObject({ behaviour: z.literal('slow'), delayMs: z.int().min(1).max(600_000).default(10_000), ...struck }),
  /** 200 with what cannot be true: a score of 9999, another application's id, a page, 1 MB */
  z.strictObject({
    behaviour: z.literal('lying'),
    lie: z.enum(['score', 'applicationId', 'notJson', 'huge']).default('score'),
    ...struck,
  }),
]);
export type Behaviour = z.output<typeof behaviour>;

/** True when `behaviour` applies to the `count`th request since it was set. */
export function strikes(chosen: Behaviour, count: number, applicationId: string): boolean {
  if (chosen.behaviour === 'normal') return false;
  if (chosen.applicationId !== undefined && chosen.applicationId !== applicationId) return false;
  const hash = createHash('sha256').update(`${chosen.seed}:${count}`).digest();
  return hash.readUInt32BE() / 2 ** 32 < chosen.probability;
}
