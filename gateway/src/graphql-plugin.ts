import type { Logger } from '@prequal/service';
import { type ExecutionArgs, type ExecutionResult, GraphQLError } from 'graphql';
import { isAsyncIterable, type Plugin } from 'graphql-yoga';
import { checkVariables, validateDocument } from './check-document.ts';
import { toClientError, toClientResult } from './client-errors.ts';
import type { RequestContext } from './context.ts';

type Operation = { args: ExecutionArgs; setResultAndStopExecution: (result: ExecutionResult) => void };

/** True when the variables are sound; otherwise the operation ends with what is wrong with them. */
function variablesAreSound({ args, setResultAndStopExecution }: Operation): boolean {
  const errors = checkVariables(args.schema, args.document, args.operationName, args.variableValues ?? {});
  if (errors.length > 0) setResultAndStopExecution({ errors });
  return errors.length === 0;
}

// What a stream throws comes as it was thrown, and would pass for an error about the client's document.
function asGraphQLError(error: unknown): GraphQLError {
  if (error instanceof GraphQLError) return error;
  return new GraphQLError('', { originalError: error instanceof Error ? error : new Error('not an Error was thrown') });
}

/** What holds for every operation on every transport: how input is checked and how errors are told. */
export function prequalPlugin(log: Logger): Plugin<RequestContext> {
  return {
    onValidate({ setValidationFn }) {
      setValidationFn(validateDocument);
    },
    onExecute(operation) {
      if (!variablesAreSound(operation)) return undefined;
      const { trace } = operation.args.contextValue;
      return {
        onExecuteDone({ result, setResult }) {
          if (!isAsyncIterable(result)) setResult(toClientResult(result, trace, log));
        },
      };
    },
    onSubscribe(operation) {
      if (!variablesAreSound(operation)) return undefined;
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
