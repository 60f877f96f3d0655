import type { ExecutionArgs } from 'graphql';
import { LRUCache } from 'lru-cache';

/** All that depends on an operation's document alone, once it was found sound. */
export type KnownOperation = Pick<ExecutionArgs, 'schema' | 'document' | 'operationName'>;

export type KnownOperations = {
  find: (query: string, operationName: string | null | undefined) => KnownOperation | undefined;
  keep: (query: string, operation: KnownOperation) => void;
};

/** as many as the library keeps of parsed documents */
const maxKept = 1_024;

/** Remembers queries and mutations that have been parsed, validated and begun, by their text and name. */
export function createKnownOperations(): KnownOperations {
  const known = new LRUCache<string, KnownOperation>({ max: maxKept });
  return {
    find: (query, operationName) => known.get(keyOf(query, operationName)),
    keep: (query, operation) => void known.set(keyOf(query, operation.operationName), operation),
  };
}

// No document and no name that can be run has this character in it.
function keyOf(query: string, operationName: string | null | undefined): string {
  return operationName == null ? query : `${operationName}\0${query}`;
}
