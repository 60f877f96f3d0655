import { defaultFieldResolver, type GraphQLField, type GraphQLSchema, isObjectType } from 'graphql';
import { Refusal } from '../refusal.ts';
import type { Role, Viewer } from '../viewer.ts';

type Allowed = 'anyone' | readonly Role[];
type WithViewer = { viewer: Viewer };

/**
 * Says who may use a field, among its options: `...allowedTo('anyone')`, `...allowedTo('underwriter', 'auditor')`.
 * `guardFields` enforces it, and demands it of every field of Query, Mutation and Subscription.
 */
export function allowedTo(...[first, ...others]: ['anyone'] | [Role, ...Role[]]): {
  extensions: { allowedTo: Allowed };
} {
  return { extensions: { allowedTo: first === 'anyone' ? first : [first, ...others] } };
}

/**
 * Puts the check before the resolver of every field that says who may use it: nothing is asked of a database
 * or a broker for anybody else. Throws an Error when a field of a root type does not say it, so that it
 * cannot be forgotten.
 */
export function guardFields(schema: GraphQLSchema): GraphQLSchema {
  const roots = new Set([schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()]);
  for (const type of Object.values(schema.getTypeMap())) {
    if (!isObjectType(type) || type.name.startsWith('__')) continue;
    for (const field of Object.values(type.getFields())) {
      const allowed = field.extensions['allowedTo'] as Allowed | undefined;
      if (allowed === undefined && roots.has(type)) {
        throw new Error(`${type.name}.${field.name} does not say who may use it: add allowedTo(…) to its options`);
      }
      if (allowed !== undefined && allowed !== 'anyone') guard(field, allowed);
    }
  }
  return schema;
}

function guard(field: GraphQLField<unknown, WithViewer>, allowed: readonly Role[]): void {
  const { resolve = defaultFieldResolver, subscribe } = field;
  field.resolve = (source, args, context, info) => {
    requireRole(context.viewer, allowed);
    return resolve(source, args, context, info);
  };
  if (!subscribe) return;
  field.subscribe = (source, args, context, info) => {
    requireRole(context.viewer, allowed);
    return subscribe(source, args, context, info);
  };
}

function requireRole(viewer: Viewer, allowed: readonly Role[]): void {
  if (viewer === 'anonymous') throw new Refusal('UNAUTHENTICATED', 'This needs a token: authorization: Bearer …');
  if (!viewer.roles.some((role) => allowed.includes(role))) {
    throw new Refusal('FORBIDDEN', `This needs a token with the role ${allowed.join(' or ')}.`);
  }
}
