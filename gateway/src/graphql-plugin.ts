import { Refusal } from '@prequal/schema';
import type { Logger } from '@prequal/service';
import {
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  execute,
  GraphQLError,
  type ParseOptions,
} from 'graphql';
import { isAsyncIterable, type Plugin, type YogaInitialContext } from 'graphql-yoga';
import { checkArguments } from './check-document.ts';
import { toClientError, toClientResult, toRefusedError, withOwnStatus, withoutPan } from './client-errors.ts';
import type { RequestContext, RequestFacts } from './context.ts';
import type { DocumentGate } from './document-gate.ts';
import type { KnownOperations } from './known-operations.ts';

type ParseFunction = (source: string, options: ParseOptions) => DocumentNode;

/** What is wrong with an operation that is about to run; or nothing. */
function faultsOf(args: ExecutionArgs, kind: 'answers' | 'streams'): GraphQLError[] {
  const { carries } = args.contextValue as RequestContext;
  return carries[kind] ? checkArguments(args) : [wrongTransport(kind)];
}

/** Answers a query or a mutation whose document is sound, as its client is told it. */
export async function answerOperation(args: ExecutionArgs, log: Logger): Promise<ExecutionResult> {
  const errors = faultsOf(args, 'answers');
  if (errors.length > 0) return { errors };
  const { trace } = args.contextValue as RequestContext;
  return toClientResult(await execute(args), trace, log);
}

function wrongTransport(kind: 'answers' | 'streams'): GraphQLError {
  if (kind === 'answers') {
    const message = 'Here only subscriptions are served. Send queries and mutations as JSON over HTTP.';
    return new GraphQLError(message, { extensions: { code: 'BAD_REQUEST' } });
  }
  const message = 'Subscriptions are served over WebSocket, or over HTTP with the header accept: text/event-stream.';
  return new GraphQLError(message, { extensions: { code: 'BAD_REQUEST', http: { status: 406 } } });
}

// What a stream throws comes as it was thrown, and would pass for an error about the client's document.
function asGraphQLError(error: unknown): GraphQLError {
  if (error instanceof GraphQLError) return error;
  return new GraphQLError('', { originalError: error instanceof Error ? error : new Error('not an Error was thrown') });
}

/** A result as its client is told it, after everything that the document itself may have been refused for. */
export function finished<Result>(result: Result): Result {
  if (typeof result !== 'object' || result === null || !('errors' in result) || !Array.isArray(result.errors)) {
    return result;
  }
  const errors = result.errors as readonly GraphQLError[];
  return { ...result, errors: errors.map(withoutPan).map(withOwnStatus) };
}

/** What holds for every operation on every transport: how input is checked and how errors are told. */
export function prequalPlugin(
  log: Logger,
  gate: DocumentGate,
  known: KnownOperations,
): Plugin<RequestContext, RequestFacts> {
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
    onResultProcess(answer) {
      answer.setResult(finished(answer.result));
    },
    onValidate({ setValidationFn }) {
      setValidationFn(gate.validate);
    },
    onExecute({ args, setExecuteFn }) {
      const { carries, params } = args.contextValue as RequestContext & YogaInitialContext;
      if (carries.answers && params.query) known.keep(params.query, args);
      setExecuteFn((sound: ExecutionArgs) => answerOperation(sound, log));
    },
    onSubscribe({ args, setResultAndStopExecution }) {
      const errors = faultsOf(args, 'streams');
      if (errors.length > 0) return setResultAndStopExecution({ errors });
      const { trace } = args.contextValue;
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
