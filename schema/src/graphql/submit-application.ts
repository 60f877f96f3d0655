import { z } from 'zod';
import { type Application, containsPan, submissionLimits } from '../application.ts';
import { allowedTo } from './allowed-to.ts';
import { ApplicationType, LoanTypeEnum } from './application.ts';
import { builder, checkedBy } from './builder.ts';
import { ConsentInput } from './consent.ts';
import { panNumber } from './pan-number.ts';

const nameRule = `must be 1 to ${submissionLimits.applicantNameMaxChars} characters after trimming, without control characters`;

/** A name as it is stored: trimmed. Control characters are refused; PostgreSQL could not store NUL. */
const applicantName = z
  .string()
  .trim()
  .refine((name) => isLengthWithin(name, submissionLimits.applicantNameMaxChars) && !/\p{Cc}/u.test(name), {
    error: nameRule,
  })
  .refine((name) => !containsPan(name), { error: 'must be a name; the PAN belongs in panNumber alone' });

const keyRule = `must be 1 to ${submissionLimits.idempotencyKeyMaxChars} characters, without control characters`;

const idempotencyKey = z
  .string()
  .refine((key) => isLengthWithin(key, submissionLimits.idempotencyKeyMaxChars) && !/\p{Cc}/u.test(key), {
    error: keyRule,
  })
  .refine((key) => !containsPan(key), { error: 'must not contain a PAN; use a random key, e.g. a UUID' });

// Counted in code points, as PostgreSQL counts varchar(n).
function isLengthWithin(text: string, maxChars: number): boolean {
  const length = text.length <= maxChars ? text.length : Array.from(text).length;
  // PostgreSQL would store something else in the place of half a surrogate pair.
  return length >= 1 && length <= maxChars && text.isWellFormed();
}

const SubmitApplicationInput = builder.inputType('SubmitApplicationInput', {
  description: 'A loan application as the applicant states it.',
  fields: (t) => ({
    panNumber: t.string({
      required: true,
      description: 'Permanent Account Number, ^[A-Z]{5}[0-9]{4}[A-Z]$, upper case',
      ...checkedBy(panNumber),
    }),
    applicantName: t.string({
      description: '1 to 255 characters after trimming, without control characters or a PAN',
      ...checkedBy(applicantName),
    }),
    monthlyIncomeInr: t.field({
      type: 'Decimal',
      required: true,
      description: 'Gross monthly income in rupees, more than 0',
    }),
    loanAmountInr: t.field({ type: 'Decimal', required: true, description: 'Requested amount in rupees, more than 0' }),
    loanType: t.field({ type: LoanTypeEnum, required: true, description: 'What the loan is for' }),
    consent: t.field({
      type: ConsentInput,
      description: 'What the applicant has agreed to. Where the lender demands it, a submission without it is refused.',
    }),
    idempotencyKey: t.string({
      description: [
        '1 to 255 characters without a PAN in them, unique for each intended application of this caller, kept for at least seven',
        'days. The same key with the same input returns the first application again (replayed: true); with',
        'any other input it is refused with IDEMPOTENCY_KEY_REUSED.',
      ].join('\n'),
      ...checkedBy(idempotencyKey),
    }),
  }),
});

const SubmitApplicationPayload = builder
  .objectRef<{ application: Application; replayed: boolean }>('SubmitApplicationPayload')
  .implement({
    description: 'The application as it was accepted, or as it is now when it is returned again.',
    fields: (t) => ({
      application: t.expose('application', {
        type: ApplicationType,
        description: 'Pass its id to Subscription.applicationStatus to watch the decision arrive',
      }),
      replayed: t.exposeBoolean('replayed', {
        description: 'true when an earlier submission with this idempotency key is returned',
      }),
    }),
  });

builder.mutationField('submitApplication', (t) =>
  t.field({
    type: SubmitApplicationPayload,
    description: [
      'Accepts an application and returns at once; the decision follows on Subscription.applicationStatus.',
      'Once it has returned, the application survives any crash of any part of the system.',
      'Errors: VALIDATION_FAILED (every offending field at once), IDEMPOTENCY_KEY_REUSED, RATE_LIMITED (retry after',
      'retryAfterMs; sending again with the same key is never limited), UNAVAILABLE (retry later).',
      "Sent with a token, it can be seen by the token's subject and by staff alone; without one, by whoever knows its id.",
    ].join('\n'),
    ...allowedTo('anyone'),
    args: {
      input: t.arg({
        type: SubmitApplicationInput,
        required: true,
        description: 'Every offending field is reported at once, by its path below input',
      }),
    },
    resolve: (_root, { input }, context) =>
      context.submitApplication({
        panNumber: input.panNumber,
        applicantName: input.applicantName?.trim() ?? null,
        monthlyIncomePaise: input.monthlyIncomeInr,
        loanAmountPaise: input.loanAmountInr,
        loanType: input.loanType,
        consent: input.consent ?? null,
        idempotencyKey: input.idempotencyKey ?? null,
      }),
  }),
);
