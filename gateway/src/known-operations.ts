import { type ExecutionArgs, getOperationAST, OperationTypeNode } from 'graphql';
import { LRUCache } from 'lru-cache';

/** All that depends on an operation's document alone, once it was found sound. */
type KnownOperation = Pick<ExecutionArgs, 'schema' | 'document' | 'operationName'> & { streams: boolean };

export type KnownOperations = {
  find: (query: string, operationName: string | null | undefined) => KnownOperation | undefined;
  /** Only what was parsed and validated may be kept; what names no operation of its document is not. */
  keep: (query: string, sound: ExecutionArgs) => void;
};

/** as many as the library keeps of parsed documents */
const maxKept = 1_024;

/** Remembers operations whose documents have been parsed and validated, by their text and name. */
export function createKnownOperations(): KnownOperations {
  const known = new LRUCache<string, KnownOperation>({ max: maxKept });
  return {
    find: (query, operationName) => known.get(keyOf(query, operationName)),
    keep: (query, { schema, document, operationName }) => {
      const kind = getOperationAST(document, operationName)?.operation;
      if (kind === undefined) return;
      const operation = { schema, document, operationName, streams: kind === OperationTypeNode.SUBSCRIPTION };
      known.set(keyOf(query, operationName), operation);
    },
  };
}

// With the length first no name and document can be taken for others.
function keyOf(query: string, operationName: string | null | undefined): string {
  return operationName == null ? query : `${operationName.length} ${operationName}${query}`;
}
