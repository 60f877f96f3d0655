import { serverSentEvents } from './server-sent-events.ts';

export type SyntheticResult = {
  applicationId: string;
  /** PRE_APPROVED unless the active policy says otherwise. */
  status: string;
  /** From sending the mutation to receiving the pushed decision. */
  elapsedMs: number;
};

const timeoutMs = 20_000;

const submit = `mutation Synthetic($input: SubmitApplicationInput!) {
  submitApplication(input: $input) { application { id status } }
}`;
const watch = `subscription Synthetic($id: ID!) {
  applicationStatus(id: $id) { status final }
}`;

// A PAN of the sandbox bureau with a score of 790: nobody's number.
const input = {
  panNumber: 'ABCDE1234F',
  applicantName: 'Synthetic application',
  monthlyIncomeInr: '75000.00',
  loanAmountInr: '500000.00',
  loanType: 'PERSONAL',
};

/**
 * Sends one application through the whole path and waits for the decision to be pushed. The token marks
 * it as synthetic, so that it is left out of lists and figures. Throws an Error for people when no
 * decision arrives within 20 s or the gateway refuses.
 */
export async function sendSynthetic(gatewayUrl: string, token: string, signal?: AbortSignal): Promise<SyntheticResult> {
  const limit = AbortSignal.timeout(timeoutMs);
  const limits = signal ? AbortSignal.any([limit, signal]) : limit;
  const startedAt = performance.now();
  let applicationId: string | undefined;
  try {
    applicationId = await submitSynthetic(gatewayUrl, token, limits);
    const status = await decided(gatewayUrl, token, applicationId, limits);
    return { applicationId, status, elapsedMs: performance.now() - startedAt };
  } catch (error) {
    signal?.throwIfAborted();
    if (!limit.aborted)
      throw new Error(`The synthetic application failed: ${(error as Error).message}`, { cause: error });
    const what = applicationId
      ? `no decision was pushed for the synthetic application ${applicationId}`
      : 'the gateway did not accept the synthetic application';
    throw new Error(
      `The stack started, but ${what} within ${timeoutMs / 1000} s. The logs of gateway, scoring and decisioning above tell where it stopped.`,
      { cause: error },
    );
  }
}

async function submitSynthetic(gatewayUrl: string, token: string, signal: AbortSignal): Promise<string> {
  const response = await post(gatewayUrl, token, 'application/json', { query: submit, variables: { input } }, signal);
  const result = (await response.json()) as {
    data?: { submitApplication: { application: { id: string } } } | null;
    errors?: unknown;
  };
  if (!result.data) throw new Error(describe(result.errors, response.status));
  return result.data.submitApplication.application.id;
}

async function decided(gatewayUrl: string, token: string, id: string, signal: AbortSignal): Promise<string> {
  const response = await post(gatewayUrl, token, 'text/event-stream', { query: watch, variables: { id } }, signal);
  if (!response.ok || !response.body) throw new Error(`the subscription was answered with HTTP ${response.status}`);
  for await (const { event, data } of serverSentEvents(response.body)) {
    if (event !== 'next') continue;
    const result = JSON.parse(data) as {
      data?: { applicationStatus: { status: string; final: boolean } } | null;
      errors?: unknown;
    };
    if (!result.data) throw new Error(describe(result.errors, response.status));
    const { status } = result.data.applicationStatus;
    // Not only final ones: under another policy it may go to an underwriter, which is a decision too.
    if (status !== 'PENDING') return status;
  }
  throw new Error('the subscription ended without a decision');
}

function post(
  gatewayUrl: string,
  token: string,
  accept: string,
  body: unknown,
  signal: AbortSignal,
): Promise<Response> {
  const headers = { 'content-type': 'application/json', accept, 'x-prequal-synthetic': token };
  return fetch(`${gatewayUrl}/graphql`, { method: 'POST', headers, body: JSON.stringify(body), signal });
}

function describe(errors: unknown, httpStatus: number): string {
  const [first] = (Array.isArray(errors) ? errors : []) as { message?: string; extensions?: { code?: string } }[];
  return first ? `${first.extensions?.code ?? 'error'}: ${first.message}` : `HTTP ${httpStatus} without data`;
}
