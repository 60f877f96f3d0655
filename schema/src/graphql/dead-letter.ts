import { type DeadLetter, deadLetterStates } from '../dead-letter.ts';
import { allowedTo } from './allowed-to.ts';
import { NodeInterface } from './application.ts';
import { builder } from './builder.ts';
import { afterDescription, connectionOf, firstDescription, pageOf } from './connection.ts';
import { checkedReason, reasonDescription } from './reason.ts';

const DeadLetterStateEnum = builder.enumType('DeadLetterState', {
  description: 'OPEN until an operator has replayed or discarded it.',
  values: deadLetterStates,
});

const DeadLetterType = builder.objectRef<DeadLetter>('DeadLetter').implement({
  description: 'A message that a worker gave up.',
  interfaces: [NodeInterface],
  fields: (t) => ({
    id: t.exposeID('id', { description: 'A UUID' }),
    state: t.expose('state', { type: DeadLetterStateEnum }),
    consumer: t.exposeString('consumer', { description: 'Worker that gave up, e.g. scoring' }),
    subject: t.exposeString('subject', { description: 'What the message had come on' }),
    applicationId: t.exposeID('applicationId', { nullable: true, description: 'null when the message named none' }),
    errorClass: t.exposeString('errorClass', {
      description: 'e.g. INVALID_MESSAGE, UNKNOWN_APPLICATION, HANDLER_FAILED',
    }),
    error: t.exposeString('error', { description: 'What the last try failed with, without personal data' }),
    deliveries: t.exposeInt('deliveries', { description: 'How often it was tried' }),
    createdAt: t.expose('createdAt', { type: 'DateTime' }),
    resolvedAt: t.expose('resolvedAt', { type: 'DateTime', nullable: true, description: 'null while OPEN' }),
    resolvedBy: t.exposeString('resolvedBy', {
      nullable: true,
      description: 'operator:<subject>, or operator:<login> from the command line; null while OPEN',
    }),
    resolution: t.exposeString('resolution', {
      nullable: true,
      description: 'The id it was replayed under, or why it was discarded; null while OPEN',
    }),
  }),
});

const DeadLetterConnection = connectionOf('DeadLetter', DeadLetterType);

builder.queryField('deadLetters', (t) =>
  t.field({
    type: DeadLetterConnection,
    description: 'Role operator. Newest first. Errors: VALIDATION_FAILED, UNAUTHENTICATED, FORBIDDEN.',
    ...allowedTo('operator'),
    args: {
      state: t.arg({ type: DeadLetterStateEnum, defaultValue: 'OPEN', description: 'null for all of them' }),
      first: t.arg.int({ defaultValue: 25, description: firstDescription }),
      after: t.arg.string({ description: afterDescription }),
    },
    resolve: (_root, { state, ...page }, context) => context.listDeadLetters(state ?? undefined, pageOf(page)),
  }),
);

builder.mutationField('replayDeadLetter', (t) =>
  t.field({
    type: DeadLetterType,
    description:
      'Role operator. Puts the original message back on its subject under a new message id. Errors: NOT_FOUND, ALREADY_RESOLVED, NOT_REPLAYABLE, UNAUTHENTICATED, FORBIDDEN.',
    ...allowedTo('operator'),
    args: { id: t.arg.id({ required: true, description: 'As deadLetters lists it' }) },
    resolve: (_root, { id }, context) => context.replayDeadLetter(id),
  }),
);

builder.mutationField('discardDeadLetter', (t) =>
  t.field({
    type: DeadLetterType,
    description:
      'Role operator. Closes a dead letter without replaying it; the reason is kept. Errors: NOT_FOUND, ALREADY_RESOLVED, VALIDATION_FAILED, UNAUTHENTICATED, FORBIDDEN.',
    ...allowedTo('operator'),
    args: {
      id: t.arg.id({ required: true, description: 'As deadLetters lists it' }),
      reason: t.arg.string({ required: true, description: reasonDescription }),
    },
    resolve: (_root, { id, reason }, context) => context.discardDeadLetter(id, checkedReason(reason)),
  }),
);
