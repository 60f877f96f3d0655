import type { Database } from '@prequal/persistence';
import { quiet } from '@prequal/testing';
import { afterAll } from 'vitest';
import { createPolicies, type Policies } from './policies.ts';

const opened = new AsyncDisposableStack();
afterAll(() => opened.disposeAsync());
let shared: Policies | undefined;

/** The same for all tests of a file, as its database is. */
export function policiesOf(database: Database): Policies {
  shared ??= opened.use(createPolicies(database, quiet));
  return shared;
}
