import './scalars.ts';
import './application.ts';
import './applications.ts';
import './consent.ts';
import './audit.ts';
import './dead-letter.ts';
import './policy.ts';
import './review.ts';
import './submit-application.ts';
import './application-status.ts';
import type { GraphQLSchema } from 'graphql';
import { guardFields } from './allowed-to.ts';
import { builder } from './builder.ts';
import { demand } from './check-input.ts';

export * from './check-input.ts';
export { maxPageSize } from './connection.ts';
export * from './context.ts';

/**
 * The executable schema; its resolvers ask everything of the `GraphQLContext` they are given. They rely on
 * `checkInput` having found their arguments sound: whoever executes it checks first.
 */
export function createSchema({ demandsConsent = false }: SchemaOptions = {}): GraphQLSchema {
  const schema = guardFields(builder.toSchema());
  if (demandsConsent) demand(schema, 'SubmitApplicationInput', 'consent');
  return schema;
}

export type SchemaOptions = {
  /** a submission without consent is refused */
  demandsConsent?: boolean;
};
