import { allowedTo } from './allowed-to.ts';
import { ApplicationStatusEnum, ApplicationType, LoanTypeEnum } from './application.ts';
import { builder, checkedBy } from './builder.ts';
import { afterDescription, connectionOf, firstDescription, pageOf } from './connection.ts';
import type { ApplicationFilter as Filter } from './context.ts';
import { panNumber } from './pan-number.ts';

export const ApplicationFilter = builder.inputType('ApplicationFilter', {
  description: 'Which applications a list holds: all that is given must hold.',
  fields: (t) => ({
    statuses: t.field({ type: [ApplicationStatusEnum], description: 'Any of these' }),
    loanTypes: t.field({ type: [LoanTypeEnum], description: 'Any of these' }),
    createdAfter: t.field({ type: 'DateTime', description: 'Later than this instant' }),
    createdBefore: t.field({ type: 'DateTime', description: 'Earlier than this instant' }),
    panNumber: t.string({
      description: 'Exact PAN; matched through its keyed index, never stored or logged',
      ...checkedBy(panNumber),
    }),
  }),
});

/** What was not given, by leaving it out or as null, lets all pass. */
export function filterOf(given: typeof ApplicationFilter.$inferInput | null | undefined): Filter {
  return {
    statuses: given?.statuses ?? undefined,
    loanTypes: given?.loanTypes ?? undefined,
    createdAfter: given?.createdAfter ?? undefined,
    createdBefore: given?.createdBefore ?? undefined,
    panNumber: given?.panNumber ?? undefined,
  };
}

const ApplicationConnection = connectionOf('Application', ApplicationType);

builder.queryField('applications', (t) =>
  t.field({
    type: ApplicationConnection,
    description:
      'Roles underwriter, analyst, auditor. Newest first. first is at most 100. Errors: VALIDATION_FAILED, UNAUTHENTICATED, FORBIDDEN.',
    ...allowedTo('underwriter', 'analyst', 'auditor'),
    args: {
      filter: t.arg({ type: ApplicationFilter, description: 'All applications when not given' }),
      first: t.arg.int({ defaultValue: 25, description: firstDescription }),
      after: t.arg.string({ description: afterDescription }),
    },
    resolve: (_root, { filter, first, after }, context) =>
      context.listApplications(filterOf(filter), pageOf({ first, after })),
  }),
);

builder.queryField('reviewQueue', (t) =>
  t.field({
    type: ApplicationConnection,
    description:
      'Roles underwriter. Oldest first: the queue of applications in MANUAL_REVIEW. Errors: VALIDATION_FAILED, UNAUTHENTICATED, FORBIDDEN.',
    ...allowedTo('underwriter'),
    args: {
      first: t.arg.int({ defaultValue: 25, description: firstDescription }),
      after: t.arg.string({ description: afterDescription }),
    },
    resolve: (_root, args, context) => context.listReviews(pageOf(args)),
  }),
);
