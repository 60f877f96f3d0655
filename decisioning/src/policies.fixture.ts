import type { Database } from '@prequal/persistence';
import { quiet } from '@prequal/testing';
import { afterAll } from 'vitest';
import { createPolicies, type Policies, warmUp } from './policies.ts';
import { createDocuments } from './policy-documents.ts';
import { type Comparison, createShadow, type Shadow } from './shadow.ts';

const opened = new AsyncDisposableStack();
afterAll(() => opened.disposeAsync());
let shared: { policies: Policies; shadow: Shadow; counted: Comparison[]; ready: Promise<unknown> } | undefined;

/** The same for all tests of a file, as its database is: what decides, what is asked beside it, and what came of that. */
export function policiesOf(database: Database) {
  if (shared) return shared;
  const read = createDocuments(database);
  const counted: Comparison[] = [];
  const policies = opened.use(createPolicies(read));
  const count = (one: Comparison) => void counted.push(one);
  // On a busy machine a process of the engine takes seconds to start: that alone gives nothing up.
  const shadow = opened.use(createShadow({ database, read, log: quiet, count, answerLimitMs: 30_000 }));
  shared = { policies, shadow, counted, ready: warmUp(database, { policies, shadow }) };
  return shared;
}
