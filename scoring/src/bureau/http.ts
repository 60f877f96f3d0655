import { type Trace, traceOf } from '@prequal/service';
import { z } from 'zod';
import { type Bureau, BureauError, type BureauFailure, type BureauRequest } from './bureau.ts';
import {
  creditReportAnswer,
  creditReportRequest,
  creditReportsPath,
  maxBodyBytes,
  notFoundAnswer,
} from './protocol.ts';

export type HttpBureauOptions = {
  /** without a slash at its end */
  url: string;
  token: string | undefined;
  /** for one attempt, from connecting to the last byte of the answer */
  timeoutMs: number;
};

/**
 * A bureau that is asked over HTTP, once a call; see `protocol.ts`, and `guardedBureau` for what is done when
 * it fails. Throws `BureauError`.
 */
export function httpBureau(options: HttpBureauOptions): Bureau {
  const address = options.url + creditReportsPath;
  const name = new URL(options.url).hostname;
  return {
    report: async (request, trace) => {
      // Outside of what follows: a mistake of ours is not held against the bureau.
      const headers = headersOf(trace, options.token);
      const body = bodyOf(request);
      try {
        const response = await fetch(address, {
          method: 'POST',
          headers,
          body,
          // A PAN goes to the bureau that was configured and nowhere else.
          redirect: 'error',
          signal: AbortSignal.timeout(options.timeoutMs),
        });
        return { ...(await readAnswer(response, request.applicationId)), bureau: name };
      } catch (error) {
        throw describe(error, options.timeoutMs);
      }
    },
  };
}

// A span of its own. What came in a message is checked again: it must neither break a header nor hold a PAN.
function headersOf(trace: Trace, token: string | undefined): Record<string, string> {
  const { correlationId, traceparent } = traceOf(trace);
  return {
    'content-type': 'application/json',
    accept: 'application/json',
    traceparent,
    'x-correlation-id': correlationId,
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
  };
}

function bodyOf({ applicationId, panNumber, loanType, monthlyIncomePaise }: BureauRequest): string {
  const request = { applicationId, panNumber, loanType, monthlyIncomeInr: monthlyIncomePaise };
  return JSON.stringify(z.encode(creditReportRequest, request));
}

/** A 422 says something of one application; a 401 says something of us. */
const rejections = new Set([400, 409, 413, 422]);

function failureOf(status: number): BureauFailure {
  if (status >= 500 || status === 429) return 'unavailable';
  return rejections.has(status) ? 'rejected' : 'refused';
}

type Answer = { result: 'SCORED'; score: number } | { result: 'NO_HISTORY' };

async function readAnswer(response: Response, applicationId: string): Promise<Answer> {
  const { status } = response;
  if (status !== 200 && status !== 404) {
    // Unread it would keep the connection.
    await response.body?.cancel();
    throw new BureauError(failureOf(status), `the bureau answered ${status}`);
  }
  const json = await readJson(response);
  if (status === 404) {
    if (notFoundAnswer.safeParse(json).success) return { result: 'NO_HISTORY' };
    throw new BureauError('refused', 'the bureau answered 404 without the code NOT_FOUND');
  }
  const { success, data, error } = creditReportAnswer.safeParse(json);
  if (!success) {
    const problems = error.issues.map(({ path, code }) => `${path.join('.') || '(answer)'}: ${code}`);
    throw new BureauError('invalid', `the bureau's answer is not valid: ${problems.slice(0, 5).join('; ')}`);
  }
  if (data.applicationId !== applicationId)
    throw new BureauError('invalid', "the bureau's answer is about another application");
  return data.result === 'SCORED' ? { result: 'SCORED', score: data.score } : { result: 'NO_HISTORY' };
}

async function readJson(response: Response): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  // Leaving the loop ends the connection: what is beyond the limit is not even received.
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > maxBodyBytes)
      throw new BureauError('invalid', `the bureau's answer is larger than ${maxBodyBytes} bytes`);
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    // The parser's own error repeats the text.
    throw new BureauError('invalid', "the bureau's answer is not JSON");
  }
}

function describe(error: unknown, timeoutMs: number): BureauError {
  if (error instanceof BureauError) return error;
  if (error instanceof DOMException && error.name === 'TimeoutError')
    return new BureauError('timeout', `the bureau did not answer within ${timeoutMs} ms`);
  // Fetch tells in the cause what happened, e.g. ECONNREFUSED.
  return new BureauError('unavailable', 'the bureau cannot be reached', { cause: error });
}
