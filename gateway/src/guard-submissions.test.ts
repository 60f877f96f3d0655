import { Refusal } from '@prequal/schema';
import { OverloadedError } from '@prequal/service';
import { expect, test } from 'vitest';
import { guardSubmissions } from './guard-submissions.ts';
import type { Submission, SubmitResult } from './submit-application.ts';

const submission = { owner: 'alice', address: '192.0.2.1', synthetic: false, input: { panNumber: 'ABCDE1234F' } };

/** What is counted after one submission that ends like this. */
async function countedAfter(submit: () => Promise<Partial<SubmitResult>>): Promise<number> {
  let count = 0;
  const guarded = guardSubmissions({
    submit: submit as () => Promise<SubmitResult>,
    findEarlier: async () => undefined,
    limits: {
      count: async () => {
        count += 1;
        return () => {
          count -= 1;
        };
      },
    },
    isOverloaded: () => false,
    countRefused: () => undefined,
  });
  await guarded(submission as Submission).catch(() => undefined);
  return count;
}

const fails = (error: Error) => async () => {
  throw error;
};

test.each<[string, () => Promise<Partial<SubmitResult>>, number]>([
  ['a new application counts', async () => ({ replayed: false }), 1],
  ['one that is sent again does not', async () => ({ replayed: true }), 0],
  ['a reused key counts', fails(new Refusal('IDEMPOTENCY_KEY_REUSED', 'another input')), 1],
  ['what we could not do does not count', fails(new OverloadedError()), 0],
  ['nor what failed', fails(new Error('a fault')), 0],
])('%s', async (_what, submit, expected) => {
  expect(await countedAfter(submit)).toBe(expected);
});
