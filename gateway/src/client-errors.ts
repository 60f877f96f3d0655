import { isDatabaseAway } from '@prequal/persistence';
import { EvaluatorAwayError } from '@prequal/policy';
import { containsPan, Refusal } from '@prequal/schema';
import { type Logger, OverloadedError, type Trace } from '@prequal/service';
import { type ExecutionResult, GraphQLError } from 'graphql';

/**
 * What a client is told of an error. A refusal is shown as it is. An outage becomes UNAVAILABLE. Anything
 * else is our fault: the client gets INTERNAL with the correlation id, the log gets the rest. Errors of
 * graphql-js itself (syntax, unknown field) are about the client's document and pass.
 */
export function toClientError(error: GraphQLError, trace: Trace, log: Logger): GraphQLError {
  const cause = error.originalError;
  if (!cause) return withoutPan(error);
  const at = { ...(error.nodes && { nodes: error.nodes }), ...(error.path && { path: error.path }) };
  if (cause instanceof Refusal) {
    return new GraphQLError(cause.message, {
      ...at,
      extensions: { code: cause.code, ...cause.details, ...httpOf(cause) },
    });
  }
  const { correlationId } = trace;
  if (cause instanceof OverloadedError || cause instanceof EvaluatorAwayError || isDatabaseAway(cause)) {
    log.warn({ err: cause, correlationId }, 'refused, the database is away or cannot keep up');
    const message =
      'The service cannot do this right now. Try again in a moment, with the same idempotency key if you gave one.';
    return new GraphQLError(message, { ...at, extensions: { code: 'UNAVAILABLE', correlationId } });
  }
  log.error({ err: cause, correlationId }, 'a request failed');
  return new GraphQLError('Something went wrong on our side. Quote the correlation id when you report it.', {
    ...at,
    extensions: { code: 'INTERNAL', correlationId },
  });
}

/** What the HTTP answer says besides; on other transports it is taken out again. */
function httpOf({ code, details }: Pick<Refusal, 'code' | 'details'>): object {
  if (code !== 'RATE_LIMITED') return {};
  const seconds = Math.ceil(Number(details['retryAfterMs']) / 1_000);
  return { http: { status: 429, headers: { 'retry-after': String(seconds) } } };
}

/** The library takes everything that keeps a document from being parsed for a fault of the document, and says so over HTTP. */
export function withOwnStatus(error: GraphQLError): GraphQLError {
  const { code } = error.extensions;
  if (code !== 'RATE_LIMITED') return error;
  const { message, nodes, path, extensions } = error;
  return new GraphQLError(message, {
    ...(nodes && { nodes }),
    ...(path && { path }),
    extensions: { ...extensions, ...httpOf({ code, details: extensions }) },
  });
}

/** For a transport that has no status and no headers. */
export function withoutHttp(error: GraphQLError): GraphQLError {
  const { http, ...extensions } = error.extensions;
  if (http === undefined) return error;
  const { message, nodes, path } = error;
  return new GraphQLError(message, { ...(nodes && { nodes }), ...(path && { path }), extensions });
}

/**
 * An error about the client's document may quote it: a PAN in a wrong place would stand in the answer. Other
 * quotations stay, since they are what helps. The library's own details (a piece of the body) never pass.
 */
export function withoutPan(error: GraphQLError): GraphQLError {
  const { originalError, ...extensions } = error.extensions;
  if (!containsPan(error.message) && originalError === undefined) return error;
  const message = containsPan(error.message) ? 'The document is not valid at this place.' : error.message;
  return new GraphQLError(message, { ...(error.nodes && { nodes: error.nodes }), ...placeOf(error), extensions });
}

function placeOf({ source, positions }: GraphQLError) {
  return source && positions ? { source, positions: [...positions] } : {};
}

/** For a caller who is not listened to: the refusal, with the HTTP status that goes with it. */
export function toRefusedError(refusal: Refusal): GraphQLError {
  const { code, message, details } = refusal;
  const challenge = { status: 401, headers: { 'www-authenticate': 'Bearer' } };
  const http = code === 'UNAUTHENTICATED' ? challenge : { status: 503 };
  return new GraphQLError(message, { extensions: { code, ...details, http, ...httpOf(refusal) } });
}

/** For a document that could not be read at all, e.g. because it nests too deeply. */
export function unreadable(): GraphQLError {
  return new GraphQLError('The document cannot be read. Send a smaller one.', {
    extensions: { code: 'GRAPHQL_PARSE_FAILED' },
  });
}

/** The same for a whole result; the result itself when it has no errors. */
export function toClientResult(result: ExecutionResult, trace: Trace, log: Logger): ExecutionResult {
  if (!result.errors) return result;
  return { ...result, errors: result.errors.map((error) => toClientError(error, trace, log)) };
}
