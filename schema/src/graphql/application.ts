import {
  type Application,
  type ApplicationEvent,
  applicationStatuses,
  type Decision,
  type DecisionReason,
  decisionMakers,
  erasedPan,
  loanTypes,
} from '../application.ts';
import { allowedTo } from './allowed-to.ts';
import { builder } from './builder.ts';

export const LoanTypeEnum = builder.enumType('LoanType', {
  description: 'What the loan is for; it shifts the simulated score (PERSONAL −10, HOME +10, AUTO 0).',
  values: loanTypes,
});

export const ApplicationStatusEnum = builder.enumType('ApplicationStatus', {
  description: 'PRE_APPROVED and REJECTED are final. MANUAL_REVIEW waits for an underwriter.',
  values: applicationStatuses,
});

const DecisionMakerEnum = builder.enumType('DecisionMaker', {
  description: 'Who decided: the automatic policy, a human underwriter, or the system when processing failed for good.',
  values: decisionMakers,
});

export const DecisionReasonType = builder.objectRef<DecisionReason>('DecisionReason').implement({
  description: 'Why a decision is what it is.',
  fields: (t) => ({
    code: t.exposeString('code', {
      description:
        'Stable, upper snake case, e.g. SCORE_BELOW_MINIMUM, INCOME_SUFFICIENT, INCOME_INSUFFICIENT, PROCESSING_FAILED',
    }),
    message: t.exposeString('message', {
      description: 'One sentence an applicant understands, with the figures that decided',
    }),
  }),
});

const DecisionType = builder.objectRef<Decision>('Decision').implement({
  description: 'The decision on an application, and on what grounds.',
  fields: (t) => ({
    outcome: t.expose('outcome', { type: ApplicationStatusEnum, description: 'Never PENDING.' }),
    decidedBy: t.expose('decidedBy', { type: DecisionMakerEnum }),
    decidedAt: t.expose('decidedAt', { type: 'DateTime' }),
    policyVersion: t.exposeString('policyVersion', {
      nullable: true,
      description:
        'Version of the policy that decided, or that referred the application to an underwriter; null when no policy did',
    }),
    reasons: t.expose('reasons', {
      type: [DecisionReasonType],
      description: 'Main reasons, most important first; never empty',
    }),
  }),
});

const ApplicationEventType = builder.objectRef<ApplicationEvent>('ApplicationEvent').implement({
  description: 'One change of status in the history of an application, or that its personal data was erased.',
  fields: (t) => ({
    version: t.exposeInt('version', {
      description:
        '1 when submitted, then one more at each change of status; an erasure has the version of the change before it',
    }),
    status: t.expose('status', {
      type: ApplicationStatusEnum,
      description: 'From this version on; an erasure leaves it as it is',
    }),
    occurredAt: t.expose('occurredAt', { type: 'DateTime' }),
    actor: t.exposeString('actor', {
      description: 'e.g. gateway, decisioning, underwriter:<subject>, or auditor:<subject>',
    }),
    reasons: t.expose('reasons', { type: [DecisionReasonType] }),
  }),
});

export const NodeInterface = builder.interfaceRef<{ id: string }>('Node').implement({
  description: 'Anything with an id of its own.',
  fields: (t) => ({ id: t.exposeID('id', { description: 'A UUID' }) }),
});

export const ApplicationType = builder.objectRef<Application>('Application').implement({
  description: 'A loan application and what became of it.',
  interfaces: [NodeInterface],
  fields: (t) => ({
    id: t.exposeID('id', { description: 'UUID version 7' }),
    maskedPan: t.exposeString('maskedPan', {
      description: `ABCDE***4F for ABCDE1234F; the full number never leaves the system. ${erasedPan} once it was erased`,
    }),
    applicantName: t.exposeString('applicantName', {
      nullable: true,
      description: 'Trimmed; null when not given, or erased',
    }),
    monthlyIncomeInr: t.expose('monthlyIncomePaise', { type: 'Decimal', description: 'Gross, in rupees' }),
    loanAmountInr: t.expose('loanAmountPaise', { type: 'Decimal', description: 'Requested, in rupees' }),
    loanType: t.expose('loanType', { type: LoanTypeEnum }),
    status: t.expose('status', { type: ApplicationStatusEnum }),
    cibilScore: t.exposeInt('cibilScore', {
      nullable: true,
      description: '300 to 900; null until scored, or when the bureau knows no history',
    }),
    decision: t.field({
      type: DecisionType,
      nullable: true,
      description: 'null while PENDING',
      resolve: (application, _args, context) => context.findDecision(application.id),
    }),
    version: t.exposeInt('version', {
      description: '1 when submitted, one more at each change of status, without gaps',
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime' }),
    updatedAt: t.expose('updatedAt', { type: 'DateTime' }),
    history: t.field({
      type: [ApplicationEventType],
      description: 'Oldest first',
      resolve: (application, _args, context) => context.findHistory(application.id),
    }),
  }),
});

builder.queryField('application', (t) =>
  t.field({
    type: ApplicationType,
    nullable: true,
    description: "null when unknown, or not the caller's to see",
    ...allowedTo('anyone'),
    args: { id: t.arg.id({ required: true, description: 'As returned by submitApplication' }) },
    resolve: (_root, { id }, context) => context.findApplication(id),
  }),
);
