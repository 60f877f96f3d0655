import './scalars.ts';
import './application.ts';
import './submit-application.ts';
import './application-status.ts';
import { defaultFieldResolver, type GraphQLField, type GraphQLSchema } from 'graphql';
import { validationFailed } from '../refusal.ts';
import { builder } from './builder.ts';
import { checkInput } from './check-input.ts';

export * from './check-input.ts';
export * from './context.ts';

/** The executable schema; its resolvers ask everything of the `GraphQLContext` they are given. */
export function createSchema(): GraphQLSchema {
  const schema = builder.toSchema();
  for (const root of [schema.getQueryType(), schema.getMutationType()]) {
    for (const field of Object.values(root?.getFields() ?? {})) {
      field.resolve = checkingArguments(field, field.resolve ?? defaultFieldResolver);
    }
  }
  for (const field of Object.values(schema.getSubscriptionType()?.getFields() ?? {})) {
    if (field.subscribe) field.subscribe = checkingArguments(field, field.subscribe);
  }
  return schema;
}

type Resolver = NonNullable<GraphQLField<unknown, unknown>['resolve']>;

/** The last check before our own code: whatever way the arguments came, their content is sound. */
function checkingArguments(field: GraphQLField<unknown, unknown>, resolve: Resolver): Resolver {
  return (root, args, context, info) => {
    const issues = field.args.flatMap((arg) => checkInput(arg.type, args[arg.name], [arg.name], 'coerced'));
    if (issues.length > 0) throw validationFailed(issues);
    return resolve(root, args, context, info);
  };
}
