import { Refusal } from '@prequal/schema';
import type { Logger } from '@prequal/service';
import { type ExecutionArgs, type ExecutionResult, GraphQLError, type ParseOptions } from 'graphql';
import { isAsyncIterable, type Plugin } from 'graphql-yoga';
import { checkArguments, validateDocument } from './check-document.ts';
import { toClientError, toClientResult, toRefusedError, unreadable, withoutPan } from './client-errors.ts';
import type { RequestContext, RequestFacts } from './context.ts';

type ParseFunction = (source: string, options: ParseOptions) => unknown;

type Operation = { args: ExecutionArgs; setResultAndStopExecution: (result: ExecutionResult) => void };

/** True when the input is sound; otherwise the operation ends with what is wrong with it. */
function inputIsSound({ args, setResultAndStopExecution }: Operation): boolean {
  const errors = checkArguments(args);
  if (errors.length > 0) setResultAndStopExecution({ errors });
  return errors.length === 0;
}

/** most lexical tokens of a document; the API's own examples have fewer than a hundred */
const maxTokens = 2_000;

function parseLimited(parse: ParseFunction, source: string, options: ParseOptions): unknown {
  try {
    return parse(source, { ...options, maxTokens });
  } catch (error) {
    // Deep nesting exhausts the stack of the parser.
    throw error instanceof RangeError ? unreadable() : error;
  }
}

// What a stream throws comes as it was thrown, and would pass for an error about the client's document.
function asGraphQLError(error: unknown): GraphQLError {
  if (error instanceof GraphQLError) return error;
  return new GraphQLError('', { originalError: error instanceof Error ? error : new Error('not an Error was thrown') });
}

/** What holds for every operation on every transport: how input is checked and how errors are told. */
export function prequalPlugin(log: Logger): Plugin<RequestContext, RequestFacts> {
  return {
    // Before the document is looked at. On a WebSocket the socket itself is refused.
    onParams({ context: { viewer }, setResult }) {
      if (viewer instanceof Refusal) setResult({ errors: [toRefusedError(viewer)] });
    },
    onParse({ parseFn, setParseFn }) {
      setParseFn((source: string, options: ParseOptions) => parseLimited(parseFn, source, options));
    },
    onResultProcess(answer) {
      const { result } = answer;
      if (isAsyncIterable(result) || Array.isArray(result) || !result.errors) return;
      answer.setResult({ ...result, errors: result.errors.map(withoutPan) });
    },
    onValidate({ setValidationFn }) {
      setValidationFn(validateDocument);
    },
    onExecute(operation) {
      if (!inputIsSound(operation)) return undefined;
      const { trace } = operation.args.contextValue;
      return {
        onExecuteDone({ result, setResult }) {
          if (!isAsyncIterable(result)) setResult(toClientResult(result, trace, log));
        },
      };
    },
    onSubscribe(operation) {
      if (!inputIsSound(operation)) return undefined;
      const { trace } = operation.args.contextValue;
      return {
        onSubscribeResult({ result, setResult }) {
          if (!isAsyncIterable(result)) {
            setResult(toClientResult(result, trace, log));
            return undefined;
          }
          return {
            onNext: (next) => {
              if (!isAsyncIterable(next.result)) next.setResult(toClientResult(next.result, trace, log));
            },
          };
        },
        onSubscribeError({ error, setError }) {
          setError(toClientError(asGraphQLError(error), trace, log));
        },
      };
    },
  };
}
