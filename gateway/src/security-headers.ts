import type { IncomingMessage, ServerResponse } from 'node:http';
import { headerOf } from './http-request.ts';

const forAnswers = "default-src 'none'; frame-ancestors 'none'";
/** GraphiQL brings its scripts and styles within the page, and runs its editor's workers from blobs. */
const forPage = [
  "default-src 'none'",
  "script-src 'self' 'unsafe-inline' blob:",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self' data:",
  "connect-src 'self'",
  "worker-src 'self' blob:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const yearSeconds = 365 * 86_400;

export type SecurityHeaderOptions = {
  hasPage: boolean;
  /** only then is `x-forwarded-proto` the word of somebody we know */
  behindProxy: boolean;
};

/** What every answer of the gateway tells a browser. Answers hold personal data: nobody keeps a copy. */
export function setSecurityHeaders(
  request: IncomingMessage,
  response: ServerResponse,
  { hasPage, behindProxy }: SecurityHeaderOptions,
): void {
  const asksForPage = hasPage && request.method === 'GET' && (headerOf(request, 'accept') ?? '').includes('text/html');
  response.setHeader('x-content-type-options', 'nosniff');
  response.setHeader('x-frame-options', 'DENY');
  response.setHeader('referrer-policy', 'no-referrer');
  response.setHeader('cache-control', 'no-store');
  response.setHeader('content-security-policy', asksForPage ? forPage : forAnswers);
  const isEncrypted =
    'encrypted' in request.socket || (behindProxy && headerOf(request, 'x-forwarded-proto') === 'https');
  if (isEncrypted) {
    response.setHeader('strict-transport-security', `max-age=${yearSeconds}; includeSubDomains`);
  }
}
