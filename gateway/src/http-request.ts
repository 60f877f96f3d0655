import type { IncomingMessage } from 'node:http';
import type { RefusalCode } from '@prequal/schema';

/** Why a request is not even read as GraphQL; the sentence tells the client what to do. */
export type HttpRefusal = {
  status: 400 | 413 | 415 | 503;
  code: Extract<RefusalCode, 'BAD_REQUEST' | 'PAYLOAD_TOO_LARGE' | 'UNAVAILABLE'>;
  message: string;
};

/**
 * Refuses in our words what the libraries would answer with a stack, or with a piece of the request that
 * may be a PAN. `body` is undefined when it was too large. Undefined for a request that may go on.
 */
export function refusalOf(
  request: IncomingMessage,
  body: string | undefined,
  maxBodyBytes: number,
): HttpRefusal | undefined {
  if (body === undefined) {
    const message = `The request is larger than ${maxBodyBytes} bytes. Send a shorter document or fewer variables.`;
    return { status: 413, code: 'PAYLOAD_TOO_LARGE', message };
  }
  const base = `http://${headerOf(request, 'host') ?? 'gateway'}`;
  if (!URL.canParse(request.url ?? '', base)) return badRequest('The address or the Host header is not valid.');
  if (request.method === 'POST') {
    // A form could be sent by any page; JSON asks the browser's permission first.
    if (!/^application\/json\b/i.test(headerOf(request, 'content-type') ?? '')) {
      return { ...badRequest('Send JSON with the header content-type: application/json.'), status: 415 };
    }
    if (typeof jsonObject(body)?.['query'] !== 'string') {
      return badRequest('The body is not a JSON object with a query and, if it needs them, variables.');
    }
  }
  const parameters = new URL(request.url ?? '', base).searchParams;
  for (const name of ['variables', 'extensions']) {
    const text = parameters.get(name);
    if (text && !jsonObject(text)) return badRequest(`The parameter ${name} is not a JSON object.`);
  }
  return undefined;
}

export const notYetServing: HttpRefusal = {
  status: 503,
  code: 'UNAVAILABLE',
  message: 'The service is starting. Try again in a moment.',
};

function badRequest(message: string): HttpRefusal {
  return { status: 400, code: 'BAD_REQUEST', message };
}

function jsonObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** The first value of a header. */
export function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}
