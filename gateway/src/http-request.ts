import type { IncomingMessage, ServerResponse } from 'node:http';
import type { RefusalCode } from '@prequal/schema';
import type { NoPlace } from './stream-limits.ts';

/** Why a request is not even read as GraphQL; the sentence tells the client what to do. */
export type HttpRefusal = {
  status: 400 | 405 | 413 | 415 | 429 | 503;
  code: Extract<RefusalCode, 'BAD_REQUEST' | 'PAYLOAD_TOO_LARGE' | 'RATE_LIMITED' | 'UNAVAILABLE'>;
  message: string;
  headers?: Record<string, string>;
  details?: Record<string, unknown>;
};

/**
 * What a request may go on with: of a POST the object that its body is, which has a document. Refuses in our words
 * what the libraries would answer with a stack, or with a piece of the request that may be a PAN. `body` is undefined
 * when it was too large.
 */
export function admit(
  request: IncomingMessage,
  body: string | undefined,
  maxBodyBytes: number,
): HttpRefusal | { sent: Record<string, unknown> | undefined } {
  if (body === undefined) {
    const message = `The request is larger than ${maxBodyBytes} bytes. Send a shorter document or fewer variables.`;
    return { status: 413, code: 'PAYLOAD_TOO_LARGE', message };
  }
  const url = request.url ?? '';
  const base = `http://${headerOf(request, 'host') ?? 'gateway'}`;
  // Nearly all requests name the same two, and to read them takes as long as the body does.
  if (url !== lastValid.url || base !== lastValid.base) {
    if (!URL.canParse(url, base)) return badRequest('The address or the Host header is not valid.');
    lastValid = { url, base };
  }
  let sent: Record<string, unknown> | undefined;
  if (request.method === 'POST') {
    // A form could be sent by any page; JSON asks the browser's permission first.
    if (!/^application\/json\s*(;|$)/i.test(headerOf(request, 'content-type') ?? '')) {
      return { ...badRequest('Send JSON with the header content-type: application/json.'), status: 415 };
    }
    sent = jsonObject(body);
    // Without a document of its own when it names a registered one.
    if (typeof sent?.['query'] !== 'string' && (sent?.['query'] != null || sent?.['extensions'] == null)) {
      return badRequest('The body is not a JSON object with a query and, if it needs them, variables.');
    }
  }
  if (!url.includes('?')) return { sent };
  const parameters = new URL(url, base).searchParams;
  for (const name of ['variables', 'extensions']) {
    const text = parameters.get(name);
    if (text && !jsonObject(text)) return badRequest(`The parameter ${name} is not a JSON object.`);
  }
  return { sent };
}

let lastValid = { url: '', base: '' };

export const notYetServing: HttpRefusal = {
  status: 503,
  code: 'UNAVAILABLE',
  message: 'The service is starting. Try again in a moment.',
};

export function tooManyRequests(retryAfterMs: number): HttpRefusal {
  return rateLimited('Too many requests came from your address. Wait for as long as retryAfterMs says.', retryAfterMs);
}

export function noPlaceForStream({ reason, retryAfterSeconds }: NoPlace): HttpRefusal {
  if (reason !== 'all') {
    const message = 'There are too many streams from your address. Close one, or try again later.';
    return rateLimited(message, retryAfterSeconds * 1_000);
  }
  const message = 'There are too many streams just now. Try again in a moment.';
  return { status: 503, code: 'UNAVAILABLE', message, headers: { 'retry-after': String(retryAfterSeconds) } };
}

function rateLimited(message: string, retryAfterMs: number): HttpRefusal {
  const headers = { 'retry-after': String(Math.ceil(retryAfterMs / 1_000)) };
  return { status: 429, code: 'RATE_LIMITED', message, headers, details: { retryAfterMs } };
}

export function sendRefusal(response: ServerResponse, refusal: HttpRefusal): void {
  const { status, code, message, headers = {}, details = {} } = refusal;
  // What is left of a body that was too large is not read.
  const connection = status === 413 ? { connection: 'close' } : {};
  response.writeHead(status, { 'content-type': 'application/json', ...headers, ...connection });
  response.end(JSON.stringify({ errors: [{ message, extensions: { code, ...details } }] }));
}

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

/** A client that names event streams alone gets nothing else; without naming them it gets none. */
export function carriedBy(request: IncomingMessage): { answers: boolean; streams: boolean } {
  const accept = headerOf(request, 'accept')?.toLowerCase() ?? '*/*';
  const streams = accept.includes('text/event-stream');
  return { streams, answers: !streams || /json|\*\/\*/.test(accept) };
}

/** Undefined when the body is larger than `maxBytes`. */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<string | undefined> {
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) return undefined;
  const { promise, resolve, reject } = Promise.withResolvers<string | undefined>();
  const chunks: Buffer[] = [];
  let bytes = 0;
  // By its events: a loop over it takes several times as long as all that is read. None of them comes twice but the
  // data, so that none needs `once`.
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= maxBytes) return chunks.push(chunk);
    request.pause();
    return resolve(undefined);
  });
  // Mostly it comes in one piece.
  request.on('end', () =>
    resolve((chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)).toString('utf8')),
  );
  request.on('error', reject);
  // Every request closes; an error for each would take longer than all the rest.
  request.on('close', () => {
    if (!request.readableEnded) reject(new Error('the client left in the middle of its request'));
  });
  return promise;
}
