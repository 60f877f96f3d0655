import { Refusal } from '@prequal/schema';
import { OverloadedError } from '@prequal/service';
import type { SubmissionLimits } from './submission-limits.ts';
import type { Submission, SubmitResult } from './submit-application.ts';

export type GuardDeps = {
  submit: (submission: Submission) => Promise<SubmitResult>;
  /** The application that this idempotency key belongs to; undefined when it is new. */
  findEarlier: (submission: Submission) => Promise<SubmitResult | undefined>;
  limits: Pick<SubmissionLimits, 'count'>;
  isOverloaded: () => boolean;
  countRefused: (reason: 'rate' | 'overload') => void;
};

/**
 * Lets through what is within the limits, before anything is done for it. Sending again what was accepted is
 * always allowed and never counts: it is looked up (one read by key) when the limit is reached, and taken back
 * from the count otherwise. What failed through our fault is not counted either. Throws `Refusal` RATE_LIMITED,
 * `OverloadedError`.
 */
export function guardSubmissions(deps: GuardDeps): (submission: Submission) => Promise<SubmitResult> {
  const { submit, findEarlier, limits, isOverloaded, countRefused } = deps;
  return async (submission) => {
    if (isOverloaded()) {
      countRefused('overload');
      throw new OverloadedError();
    }
    // A test of the system is nobody's submission.
    if (submission.synthetic) return submit(submission);
    const { owner, address, input } = submission;
    const counted = await limits.count({ caller: owner, address, pan: input.panNumber });
    if (typeof counted !== 'function') {
      const earlier = await findEarlier(submission);
      if (earlier) return earlier;
      countRefused('rate');
      throw rateLimited(counted.retryAfterMs);
    }
    try {
      const result = await submit(submission);
      if (result.replayed) counted();
      return result;
    } catch (error) {
      if (!(error instanceof Refusal)) counted();
      throw error;
    }
  };
}

function rateLimited(retryAfterMs: number): Refusal {
  const message =
    'Too many applications were submitted. Wait for as long as retryAfterMs says, then send this one again.';
  return new Refusal('RATE_LIMITED', message, { retryAfterMs });
}
