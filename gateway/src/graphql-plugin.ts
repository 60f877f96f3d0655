import { Refusal } from '@prequal/schema';
import { type DocumentNode, type ExecutionArgs, GraphQLError, type ParseOptions } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { toRefusedError, withOwnStatus, withoutPan } from './client-errors.ts';
import type { RequestFacts } from './context.ts';
import type { DocumentGate } from './document-gate.ts';
import type { answerOperation, streamOperation } from './run-operation.ts';

type ParseFunction = (source: string, options: ParseOptions) => DocumentNode;

/** A result as its client is told it, after everything that the document itself may have been refused for. */
export function finished<Result>(result: Result): Result {
  if (typeof result !== 'object' || result === null || !('errors' in result) || !Array.isArray(result.errors)) {
    return result;
  }
  const errors = result.errors as readonly GraphQLError[];
  return { ...result, errors: errors.map(withoutPan).map(withOwnStatus) };
}

export type PluginOptions = {
  gate: DocumentGate;
  /** Told of each operation that is about to run. */
  keep: (query: string | undefined, sound: ExecutionArgs) => void;
  answer: (sound: ExecutionArgs) => ReturnType<typeof answerOperation>;
  stream: (sound: ExecutionArgs) => ReturnType<typeof streamOperation>;
};

/** Puts the gate before the library, and what runs operations on every transport in the place of its own. */
export function prequalPlugin({ gate, keep, answer, stream }: PluginOptions): Plugin<RequestFacts, RequestFacts> {
  return {
    // Before the document is looked at. On a WebSocket the socket itself is refused.
    onParams({ context: { viewer }, params, setParams, setResult }) {
      if (viewer instanceof Refusal) return setResult({ errors: [toRefusedError(viewer)] });
      const query = gate.admit(params);
      if (query instanceof GraphQLError) setResult({ errors: [query] });
      // A refused one stays; but the library's next check would complain in its own words that there is none.
      const shown = query instanceof GraphQLError ? (params.query ?? '') : query;
      if (shown !== params.query) setParams({ ...params, query: shown });
    },
    onParse({ context: { address }, parseFn, setParseFn }) {
      const parse = parseFn as ParseFunction;
      setParseFn((source: string, options: ParseOptions) => gate.parse(parse, source, options, address));
    },
    onValidate({ setValidationFn }) {
      setValidationFn(gate.validate);
    },
    onExecute({ args, setExecuteFn }) {
      keep(args.contextValue.params.query, args);
      setExecuteFn(answer);
    },
    onSubscribe({ args, setSubscribeFn }) {
      keep(args.contextValue.params.query, args);
      setSubscribeFn(stream);
    },
    onResultProcess(answered) {
      answered.setResult(finished(answered.result));
    },
  };
}
