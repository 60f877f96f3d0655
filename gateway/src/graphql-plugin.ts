import type { Logger } from '@prequal/service';
import { isAsyncIterable, type Plugin } from 'graphql-yoga';
import { checkVariables, validateDocument } from './check-document.ts';
import { toClientError, toClientResult } from './client-errors.ts';
import type { RequestContext } from './context.ts';

/** What holds for every operation on every transport: how input is checked and how errors are told. */
export function prequalPlugin(log: Logger): Plugin<RequestContext> {
  return {
    onValidate({ setValidationFn }) {
      setValidationFn(validateDocument);
    },
    onExecute({ args, setResultAndStopExecution }) {
      const errors = checkVariables(args.schema, args.document, args.operationName, args.variableValues ?? {});
      if (errors.length > 0) {
        setResultAndStopExecution({ errors });
        return undefined;
      }
      const { trace } = args.contextValue;
      return {
        onExecuteDone({ result, setResult }) {
          if (!isAsyncIterable(result)) setResult(toClientResult(result, trace, log));
        },
      };
    },
    onSubscribe({ args, setResultAndStopExecution }) {
      const errors = checkVariables(args.schema, args.document, args.operationName, args.variableValues ?? {});
      if (errors.length > 0) {
        setResultAndStopExecution({ errors });
        return undefined;
      }
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
          setError(toClientError(error as never, trace, log));
        },
      };
    },
  };
}
