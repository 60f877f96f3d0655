import { z } from 'zod';
import { type Policy, type PolicySimulation, policyModes, simulationMaxApplications } from '../policy.ts';
import { validationFailed } from '../refusal.ts';
import { allowedTo } from './allowed-to.ts';
import { ApplicationStatusEnum } from './application.ts';
import { ApplicationFilter, filterOf } from './applications.ts';
import { builder, checkedBy } from './builder.ts';

const versionRule = 'must be 1 to 64 lower-case letters, digits, . and -, e.g. seed-2';
const version = z.string().regex(/^[a-z0-9][a-z0-9.-]{0,63}$/, { error: versionRule });
// PostgreSQL keeps no NUL; what else the document may be, the checks say with findings.
const document = z.string().refine((text) => text.isWellFormed() && !text.includes('\0'), {
  error: 'must be text without NUL and half surrogate pairs',
});

const PolicyModeEnum = builder.enumType('PolicyMode', {
  description: 'ACTIVE decides. SHADOW is asked as well, and its verdict only recorded beside each decision.',
  values: policyModes,
});

const PolicyType = builder.objectRef<Policy>('Policy').implement({
  description: 'A stored version of the decision policy. What it says never changes.',
  fields: (t) => ({
    version: t.exposeString('version', { description: 'Its name, e.g. seed-1; each decision names it' }),
    mode: t.expose('mode', { type: PolicyModeEnum }),
    hash: t.exposeString('hash', { description: 'SHA-256 of the canonical document (RFC 8785), hexadecimal' }),
    document: t.exposeString('document', {
      description: 'The policy document itself, JSON text: JDM, as the open JDM editor reads and writes it',
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime' }),
    createdBy: t.exposeString('createdBy', { description: 'analyst:<subject>, or prequal for what is shipped' }),
  }),
});

builder.queryField('policies', (t) =>
  t.field({
    type: [PolicyType],
    description: 'Role analyst. Every stored policy version, newest first. Errors: UNAUTHENTICATED, FORBIDDEN.',
    ...allowedTo('analyst'),
    resolve: (_root, _args, context) => context.listPolicies(),
  }),
);

const PublishPolicyInput = builder.inputType('PublishPolicyInput', {
  description: 'A new version of the decision policy.',
  fields: (t) => ({
    version: t.string({ required: true, description: `Not used before. It ${versionRule}`, ...checkedBy(version) }),
    document: t.string({
      required: true,
      description: 'JDM, JSON text; as large as the variables of a request may be, and at most 64 KiB',
      ...checkedBy(document),
    }),
  }),
});

builder.mutationField('publishPolicy', (t) =>
  t.field({
    type: PolicyType,
    description: [
      'Role analyst. Stores a new version of the decision policy, inactive. Refused with POLICY_INVALID when it cannot be',
      'read, leaves an input undecided, contradicts itself or the reasons that it declares, or is not monotone in score',
      'and income: extensions.findings say what is wrong, each with inputs that show it. Takes some seconds. The same',
      'version with the same document again is the stored one. Errors: POLICY_INVALID, VALIDATION_FAILED, UNAVAILABLE',
      '(others are being checked, retry later), UNAUTHENTICATED, FORBIDDEN.',
    ].join('\n'),
    ...allowedTo('analyst'),
    args: { input: t.arg({ type: PublishPolicyInput, required: true, description: 'The version and its document' }) },
    resolve: (_root, { input }, context) => context.publishPolicy(input),
  }),
);

builder.mutationField('setPolicyMode', (t) =>
  t.field({
    type: PolicyType,
    description: [
      'Role analyst. Makes this version the one that decides (mode ACTIVE) or that is only recorded beside it (mode',
      'SHADOW), from the next decision on; whoever had that place becomes INACTIVE. There is always one that decides.',
      'Errors: NOT_FOUND, VALIDATION_FAILED, UNAUTHENTICATED, FORBIDDEN.',
    ].join('\n'),
    ...allowedTo('analyst'),
    args: {
      version: t.arg.string({ required: true, description: 'As policies lists it', ...checkedBy(version) }),
      mode: t.arg({ type: PolicyModeEnum, required: true, description: 'What it is to be' }),
    },
    resolve: (_root, args, context) => context.setPolicyMode(args.version, args.mode),
  }),
);

const SimulatePolicyInput = builder.inputType('SimulatePolicyInput', {
  description: 'A policy and the past applications that it is tried on.',
  fields: (t) => ({
    version: t.string({ description: 'Stored version; or give document', ...checkedBy(version) }),
    document: t.string({ description: 'A document that need not be stored; or give version', ...checkedBy(document) }),
    filter: t.field({ type: ApplicationFilter, description: 'Which applications; all when not given' }),
    limit: t.int({
      defaultValue: 1_000,
      description: `Most recent applications to replay, 1 to ${simulationMaxApplications}`,
    }),
  }),
});

const PolicyTransition = builder.objectRef<PolicySimulation['transitions'][number]>('PolicyTransition').implement({
  description: 'How many applications would have had another outcome.',
  fields: (t) => ({
    from: t.expose('from', { type: ApplicationStatusEnum, description: 'What the policy of the day decided' }),
    to: t.expose('to', { type: ApplicationStatusEnum, description: 'What this one would have decided' }),
    count: t.exposeInt('count', { description: 'Never 0' }),
  }),
});

const PolicySimulationType = builder.objectRef<PolicySimulation>('PolicySimulation').implement({
  description: 'What a policy would have decided.',
  fields: (t) => ({
    evaluated: t.exposeInt('evaluated', {
      description: 'Applications that a policy has decided and that were replayed',
    }),
    changed: t.exposeInt('changed', { description: 'Of these, those with another outcome' }),
    transitions: t.expose('transitions', {
      type: [PolicyTransition],
      description: 'How many went from one outcome to another, zero rows left out',
    }),
  }),
});

builder.queryField('simulatePolicy', (t) =>
  t.field({
    type: PolicySimulationType,
    description: [
      'Role analyst. What a policy would have decided for past applications, without changing anything: their stored',
      'figures and bureau reports are given to it. Takes at most 10 s when its turn has come. Errors: POLICY_INVALID (the document gives no',
      'verdict for one of them), NOT_FOUND, VALIDATION_FAILED, UNAVAILABLE, UNAUTHENTICATED, FORBIDDEN.',
    ].join('\n'),
    ...allowedTo('analyst'),
    args: { input: t.arg({ type: SimulatePolicyInput, required: true, description: 'The policy, and on what' }) },
    resolve: (_root, { input }, context) => {
      const limit = input.limit ?? 1_000;
      const path = ['input', 'limit'];
      if (limit < 1 || limit > simulationMaxApplications) {
        const message = `must be 1 to ${simulationMaxApplications}`;
        throw validationFailed([{ path, code: 'INVALID_VALUE', message }]);
      }
      const given = [input.version, input.document].filter((text) => text != null);
      if (given.length !== 1) {
        const message = 'must hold either version or document';
        throw validationFailed([{ path: ['input'], code: 'INVALID_VALUE', message }]);
      }
      return context.simulatePolicy({
        version: input.version ?? undefined,
        document: input.document ?? undefined,
        filter: filterOf(input.filter),
        limit,
      });
    },
  }),
);
