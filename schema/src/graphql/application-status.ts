import { isFinal, type StatusUpdate } from '../application.ts';
import { Refusal } from '../refusal.ts';
import { allowedTo } from './allowed-to.ts';
import { ApplicationStatusEnum, ApplicationType, DecisionReasonType, LoanTypeEnum } from './application.ts';
import { builder } from './builder.ts';

const ApplicationStatusUpdate = builder.objectRef<StatusUpdate>('ApplicationStatusUpdate').implement({
  description: 'What a watcher is told: the status now, or a change of it.',
  fields: (t) => ({
    applicationId: t.exposeID('applicationId'),
    status: t.expose('status', { type: ApplicationStatusEnum }),
    version: t.exposeInt('version', { description: 'Higher with each update; pass the last one seen as `after`' }),
    occurredAt: t.expose('occurredAt', { type: 'DateTime' }),
    cibilScore: t.exposeInt('cibilScore', {
      nullable: true,
      description: '300 to 900; null until scored, or when the bureau knows no history',
    }),
    reasons: t.expose('reasons', {
      type: [DecisionReasonType],
      description: 'Why the status is what it is, most important first; empty while PENDING',
    }),
    final: t.boolean({
      description:
        'true on the last update of this application: a stream of it completes, that of all decisions goes on',
      resolve: (update) => isFinal(update.status),
    }),
    application: t.field({
      type: ApplicationType,
      description: 'Loaded when asked for',
      resolve: async (update, _args, context) => {
        const application = await context.findApplication(update.applicationId);
        if (!application) throw new Refusal('NOT_FOUND', 'This application no longer exists.');
        return application;
      },
    }),
  }),
});

builder.subscriptionField('applicationStatus', (t) =>
  t.field({
    type: ApplicationStatusUpdate,
    description: [
      'The current status at once, then every change as it happens, each with a higher version; completes',
      'after a final status (PRE_APPROVED or REJECTED). MANUAL_REVIEW stays open until an underwriter',
      'resolves it. With after, versions up to it are skipped, so a client that reconnects misses nothing',
      'and sees nothing twice. Errors: NOT_FOUND.',
    ].join('\n'),
    ...allowedTo('anyone'),
    args: {
      id: t.arg.id({ required: true, description: 'As returned by submitApplication' }),
      after: t.arg.int({ description: 'The last version already seen' }),
    },
    subscribe: (_root, { id, after }, context) => context.watchApplication(id, after ?? undefined),
    resolve: (update) => update,
  }),
);

builder.subscriptionField('decisions', (t) =>
  t.field({
    type: ApplicationStatusUpdate,
    description: [
      'Roles underwriter, analyst, auditor. Every decision of every application from now on, of people as well as of',
      'the policy; of each application in its order. It goes on until you leave, also through outages. A client that',
      'falls too far behind is told UNAVAILABLE and subscribes again; what it missed stands in applications.',
      'Errors: VALIDATION_FAILED, UNAUTHENTICATED, FORBIDDEN.',
    ].join('\n'),
    ...allowedTo('underwriter', 'analyst', 'auditor'),
    args: {
      statuses: t.arg({ type: [ApplicationStatusEnum], description: 'Any of these; all when not given' }),
      loanTypes: t.arg({ type: [LoanTypeEnum], description: 'Any of these; all when not given' }),
    },
    subscribe: (_root, { statuses, loanTypes }, context) =>
      context.watchDecisions({ statuses: statuses ?? undefined, loanTypes: loanTypes ?? undefined }),
    resolve: (update) => update,
  }),
);
