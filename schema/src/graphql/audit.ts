import { type DecisionVerification, erasedPan } from '../application.ts';
import { allowedTo } from './allowed-to.ts';
import { ApplicationType } from './application.ts';
import { builder } from './builder.ts';
import { checkedReason, reasonDescription } from './reason.ts';

const DecisionVerificationType = builder.objectRef<DecisionVerification>('DecisionVerification').implement({
  description: 'Whether what is stored of an application is what was decided and recorded.',
  fields: (t) => ({
    applicationId: t.exposeID('applicationId'),
    intact: t.exposeBoolean('intact', {
      description:
        'true when the recomputed outcome, reasons and policy hash equal the stored ones and the event chain is intact',
    }),
    findings: t.exposeStringList('findings', {
      description:
        'Every fault as a sentence, and what could not be recomputed, such as the decision of a person; empty when all was recomputed and nothing is wrong',
    }),
  }),
});

builder.queryField('verifyDecision', (t) =>
  t.field({
    type: DecisionVerificationType,
    description:
      'Role auditor. Recomputes the stored decision from its stored evidence, and checks the chain of its history. Errors: NOT_FOUND, UNAUTHENTICATED, FORBIDDEN.',
    ...allowedTo('auditor'),
    args: { applicationId: t.arg.id({ required: true, description: 'As applications lists it' }) },
    resolve: (_root, { applicationId }, context) => context.verifyDecision(applicationId),
  }),
);

builder.mutationField('eraseApplicant', (t) =>
  t.field({
    type: ApplicationType,
    description: [
      'Role auditor. Erases the personal data of one application (PAN, name) everywhere; the decision and its evidence stay.',
      `It cannot be undone: maskedPan is ${erasedPan} and applicantName null from then on. Status and version do not change; the`,
      'history says who erased it and why. Erasing again changes nothing. Copies in message streams follow within seconds.',
      'Errors: NOT_FOUND, STILL_PENDING, VALIDATION_FAILED, UNAUTHENTICATED, FORBIDDEN.',
    ].join('\n'),
    ...allowedTo('auditor'),
    args: {
      applicationId: t.arg.id({ required: true, description: 'As applications lists it' }),
      reason: t.arg.string({
        required: true,
        description: `${reasonDescription} and not the applicant's name. Whoever may see the application reads it in the history`,
      }),
    },
    resolve: (_root, { applicationId, reason }, context) =>
      context.eraseApplicant(applicationId, checkedReason(reason)),
  }),
);
