import { z } from 'zod';
import {
  type Application,
  containsPan,
  type DecisionOutcome,
  isFinal,
  type Review,
  reviewLimits,
} from '../application.ts';
import { validationFailed } from '../refusal.ts';
import { allowedTo } from './allowed-to.ts';
import { ApplicationStatusEnum, ApplicationType } from './application.ts';
import { builder, checkedBy } from './builder.ts';

const { claimMinutes, commentMaxChars, reasonCodeMaxChars } = reviewLimits;

const ReviewType = builder.objectRef<Review>('Review').implement({
  description: 'Where an application stands in the review queue.',
  fields: (t) => ({
    claimedBy: t.exposeString('claimedBy', {
      nullable: true,
      description: 'Subject of the underwriter who holds it; null when nobody does',
    }),
    claimExpiresAt: t.expose('claimExpiresAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When the claim ends by itself; null when nobody holds it',
    }),
    waitingSince: t.expose('waitingSince', {
      type: 'DateTime',
      description: 'When the application entered the queue',
    }),
  }),
});

builder.objectField(ApplicationType, 'review', (t) =>
  t.field({
    type: ReviewType,
    nullable: true,
    description: 'null unless MANUAL_REVIEW, and for everybody but staff',
    resolve: ({ id, status }, _args, context) => (status === 'MANUAL_REVIEW' ? context.findReview(id) : null),
  }),
);

const ReviewPayload = builder.objectRef<{ application: Application }>('ReviewPayload').implement({
  description: 'The application as it is now.',
  fields: (t) => ({ application: t.expose('application', { type: ApplicationType }) }),
});

builder.mutationField('claimReview', (t) =>
  t.field({
    type: ReviewPayload,
    description: `Role underwriter. Takes the application from the review queue for ${claimMinutes} minutes, or renews one's own claim. Errors: NOT_FOUND, NOT_IN_REVIEW, CLAIMED_BY_ANOTHER, UNAUTHENTICATED, FORBIDDEN.`,
    ...allowedTo('underwriter'),
    args: { applicationId: t.arg.id({ required: true, description: 'As the review queue lists it' }) },
    resolve: async (_root, { applicationId }, context) => ({ application: await context.claimReview(applicationId) }),
  }),
);

const reasonCode = z.string().regex(new RegExp(`^[A-Z][A-Z0-9_]{1,${reasonCodeMaxChars - 1}}$`), {
  error: `must be 2 to ${reasonCodeMaxChars} characters in upper snake case, e.g. INCOME_VERIFIED`,
});

const comment = z
  .string()
  .trim()
  .refine((text) => text.length >= 1 && Array.from(text).length <= commentMaxChars, {
    error: `must be 1 to ${commentMaxChars} characters after trimming`,
  })
  .refine((text) => text.isWellFormed() && !/[^\P{Cc}\n\t]/u.test(text), {
    error: 'must not hold control characters other than line breaks and tabs',
  })
  .refine((text) => !containsPan(text), { error: 'must not hold a PAN: it is kept in the history' });

const ResolveReviewInput = builder.inputType('ResolveReviewInput', {
  description: 'What an underwriter decides, and why.',
  fields: (t) => ({
    applicationId: t.id({ required: true, description: 'As the review queue lists it' }),
    outcome: t.field({ type: ApplicationStatusEnum, required: true, description: 'PRE_APPROVED or REJECTED' }),
    reasonCode: t.string({
      required: true,
      description: 'Stable, upper snake case, e.g. INCOME_VERIFIED',
      ...checkedBy(reasonCode),
    }),
    comment: t.string({
      required: true,
      description: `1 to ${commentMaxChars} characters, kept in the history; the applicant reads it as the reason`,
      ...checkedBy(comment),
    }),
  }),
});

builder.mutationField('resolveReview', (t) =>
  t.field({
    type: ReviewPayload,
    description:
      'Role underwriter, holding the claim. Turns MANUAL_REVIEW into PRE_APPROVED or REJECTED. Errors: NOT_FOUND, NOT_IN_REVIEW, NOT_CLAIMED, VALIDATION_FAILED, UNAUTHENTICATED, FORBIDDEN.',
    ...allowedTo('underwriter'),
    args: {
      input: t.arg({ type: ResolveReviewInput, required: true, description: 'The application, the outcome and why' }),
    },
    resolve: async (_root, { input }, context) => {
      if (!isFinal(input.outcome)) {
        throw validationFailed([
          { path: ['input', 'outcome'], code: 'INVALID_VALUE', message: 'must be PRE_APPROVED or REJECTED' },
        ]);
      }
      return {
        application: await context.resolveReview({
          applicationId: input.applicationId,
          outcome: input.outcome as DecisionOutcome,
          reasonCode: input.reasonCode,
          comment: input.comment.trim(),
        }),
      };
    },
  }),
);
