import type { IncomingMessage, ServerResponse } from 'node:http';
import { type ExecutionResult, GraphQLError } from 'graphql';
import { type GraphQLParams, processRegularResult } from 'graphql-yoga';
import type { RequestFacts } from './context.ts';
import type { Graphql } from './create-graphql.ts';
import { endOfTurn } from './end-of-turn.ts';
import { headerOf } from './http-request.ts';

export type DirectType = 'application/json' | 'application/graphql-response+json';

/**
 * As what the common request is answered: a POST that takes one JSON answer, from no page of another origin; undefined
 * for any other. What is said about it is said by the same library and the same plugins, `answerDirectly` only leaves
 * out the layer that makes web-standard requests and responses of Node's, which costs more than all the rest.
 */
export function directTypeOf(request: IncomingMessage): DirectType | undefined {
  if (request.method !== 'POST' || headerOf(request, 'origin') !== undefined) return undefined;
  const accept = headerOf(request, 'accept') ?? '*/*';
  if (accept === '*/*') return 'application/json';
  return accept === 'application/json' || accept === 'application/graphql-response+json' ? accept : undefined;
}

/** Answers in one write. `sent` is the body, see `admit`. */
export async function answerDirectly(
  { answer }: Pick<Graphql, 'answer'>,
  { method, url = '' }: IncomingMessage,
  { sent, type }: { sent: GraphQLParams; type: DirectType },
  response: ServerResponse,
  facts: RequestFacts,
): Promise<void> {
  // All that the plugins ask of a request.
  const request = { method, url } as Request;
  let result: ExecutionResult;
  try {
    result = await answer(sent, request, facts);
  } catch (error) {
    if (!(error instanceof GraphQLError)) throw error;
    result = { errors: [error] };
  }
  const { text, status, headers } = processRegularResult(
    result as never,
    { Response: Answer } as never,
    type,
  ) as unknown as Answer;
  // One after the other with the answers to all requests that came together.
  await endOfTurn();
  response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(text) }).end(text);
}

/** What the library makes of a result, as it is. */
class Answer {
  readonly text: string;
  readonly status: number;
  readonly headers: Record<string, string>;

  constructor(text: string | null, { status, headers }: { status: number; headers: Record<string, string> }) {
    this.text = text ?? '';
    this.status = status;
    this.headers = headers;
  }
}
