import { createHash } from 'node:crypto';
import type { KeyedDigests } from '@prequal/pan';
import type { Database } from '@prequal/persistence';
import { sql } from '@prequal/persistence';
import { Refusal } from '@prequal/schema';
import type { SubmitApplicationInput } from '@prequal/schema/graphql';
import type { ApplicationReader } from './read-application.ts';
import type { Submission, SubmitResult } from './submit-application.ts';

/** A submission with what recognises it when it comes again; null without an idempotency key. */
export type Repeatable = { submission: Submission; keyDigest: Buffer | null; fingerprint: KeyedDigests | null };

export type FindEarlierDeps = {
  database: Database;
  findApplication: ApplicationReader['findApplication'];
  /** tells whether two inputs are equal without keeping either: an input holds a PAN */
  fingerprint: (text: string) => KeyedDigests;
};

/** Finds the application that a submission repeats without storing anything. Throws `Refusal` IDEMPOTENCY_KEY_REUSED. */
export function createFindEarlier(
  deps: FindEarlierDeps,
): (submission: Submission) => Promise<SubmitResult | undefined> {
  return async (submission) => {
    if (submission.input.idempotencyKey === null) return undefined;
    return replay(deps, { submission, ...identityOf(deps, submission.input) });
  };
}

/** The same key again: the first application when the input is the same, a refusal when it is not. */
export async function replay(
  deps: FindEarlierDeps,
  { submission, keyDigest, fingerprint }: Repeatable,
): Promise<SubmitResult | undefined> {
  const { rows } = await sql<{ application_id: string; fingerprint: Buffer }>`
    select application_id, fingerprint from idempotency_keys
    where caller = ${submission.owner ?? ''} and key_digest = ${keyDigest}`.execute(deps.database.sql());
  const first = rows[0];
  if (!first) return undefined;
  if (first.fingerprint.length === 0) {
    throw new Refusal(
      'IDEMPOTENCY_KEY_REUSED',
      'The personal data of the application with this idempotency key was erased, so nobody can tell whether this is the same input. Use a new key.',
    );
  }
  if (!fingerprint?.all.some((digest) => digest.equals(first.fingerprint))) {
    throw new Refusal(
      'IDEMPOTENCY_KEY_REUSED',
      'This idempotency key was used for another application. Send the first input again, or use a new key.',
    );
  }
  const application = await deps.findApplication({
    id: first.application_id,
    subject: submission.owner,
    seesAll: false,
  });
  if (!application) throw new Error('an idempotency key names an application that is gone');
  return { application, replayed: true };
}

/** What makes two submissions the same: the digest of their key, and that of what they say. */
export function identityOf(
  { fingerprint }: Pick<FindEarlierDeps, 'fingerprint'>,
  { idempotencyKey, ...stated }: SubmitApplicationInput,
): Omit<Repeatable, 'submission'> {
  if (idempotencyKey === null) return { keyDigest: null, fingerprint: null };
  const keyDigest = createHash('sha256').update(idempotencyKey).digest();
  // An array: the order of an object's keys is not part of what was said.
  return { keyDigest, fingerprint: fingerprint(JSON.stringify(fingerprinted(stated))) };
}

function fingerprinted(input: Omit<SubmitApplicationInput, 'idempotencyKey'>): unknown[] {
  const { consent } = input;
  const stated = [
    input.panNumber,
    input.applicantName,
    input.monthlyIncomePaise,
    input.loanAmountPaise,
    input.loanType,
  ];
  // Without one as before there was any, for the keys that are stored since then.
  if (!consent) return stated;
  return [...stated, consent.purpose, consent.noticeVersion, consent.language, consent.givenAt.toISOString()];
}
