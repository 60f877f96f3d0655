import type { Logger } from '@prequal/service';
import { createSourceEventStream, type ExecutionArgs, type ExecutionResult, execute, GraphQLError } from 'graphql';
import { checkArguments } from './check-document.ts';
import { toClientError, toClientResult } from './client-errors.ts';
import type { OperationContext } from './context.ts';

/** An operation whose document is sound, for one caller. */
export type Operation = ExecutionArgs & { contextValue: OperationContext };

/** Answers a query or a mutation as its client is told it. */
export async function answerOperation(operation: Operation, log: Logger): Promise<ExecutionResult> {
  const errors = faultsOf(operation, 'answers');
  if (errors.length > 0) return { errors };
  return toClientResult(await execute(operation), operation.contextValue.facts.trace, log);
}

/** What a subscription's client is told, one after the other; or the one result that says why there is no stream. */
export async function streamOperation(
  operation: Operation,
  log: Logger,
): Promise<AsyncIterableIterator<ExecutionResult> | ExecutionResult> {
  const errors = faultsOf(operation, 'streams');
  if (errors.length > 0) return { errors };
  const source = await createSourceEventStream(operation);
  if (!(Symbol.asyncIterator in source)) return toClientResult(source, operation.contextValue.facts.trace, log);
  return new Results(source[Symbol.asyncIterator](), operation, log);
}

/** What is wrong with an operation that is about to run; or nothing. */
function faultsOf(operation: Operation, kind: 'answers' | 'streams'): GraphQLError[] {
  return operation.contextValue.facts.carries[kind] ? checkArguments(operation) : [wrongTransport(kind)];
}

function wrongTransport(kind: 'answers' | 'streams'): GraphQLError {
  if (kind === 'answers') {
    const message = 'Here only subscriptions are served. Send queries and mutations as JSON over HTTP.';
    return new GraphQLError(message, { extensions: { code: 'BAD_REQUEST' } });
  }
  const message = 'Subscriptions are served over WebSocket, or over HTTP with the header accept: text/event-stream.';
  return new GraphQLError(message, { extensions: { code: 'BAD_REQUEST', http: { status: 406 } } });
}

/** Each event as the operation selects from it. A class, since there is one for every watcher. */
class Results implements AsyncIterableIterator<ExecutionResult> {
  readonly #events: AsyncIterator<unknown>;
  readonly #operation: Operation;
  readonly #log: Logger;
  #hasFailed = false;

  constructor(events: AsyncIterator<unknown>, operation: Operation, log: Logger) {
    this.#events = events;
    this.#operation = operation;
    this.#log = log;
  }

  async next(): Promise<IteratorResult<ExecutionResult>> {
    // Whoever is told of a failure may ask again; it was the last that there is to say.
    if (this.#hasFailed) return { done: true, value: undefined };
    const { trace } = this.#operation.contextValue.facts;
    let event: IteratorResult<unknown>;
    try {
      event = await this.#events.next();
    } catch (error) {
      this.#hasFailed = true;
      throw toClientError(asGraphQLError(error), trace, this.#log);
    }
    if (event.done) return { done: true, value: undefined };
    const result = await execute({ ...this.#operation, rootValue: event.value });
    return { done: false, value: toClientResult(result, trace, this.#log) };
  }

  async return(): Promise<IteratorResult<ExecutionResult>> {
    await this.#events.return?.();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

// What a stream throws comes as it was thrown, and would pass for an error about the client's document.
function asGraphQLError(error: unknown): GraphQLError {
  if (error instanceof GraphQLError) return error;
  return new GraphQLError('', { originalError: error instanceof Error ? error : new Error('not an Error was thrown') });
}
