import { setTimeout as delay } from 'node:timers/promises';
import type { Deed, Input } from './applicants.ts';
import type { History } from './history.ts';

/** One intended application: what was sent, and all that came back. */
export type Submission = {
  input: Input;
  deed: Deed | undefined;
  attempts: number;
  /** a double click may be acknowledged more than once */
  acknowledged: { id: string; replayed: boolean; atMs: number }[];
  /** answers that a client should never get, whatever fails */
  wrongAnswers: string[];
};

export type SubmitDeps = { history: History; gatewayUrl: () => string; stopped: AbortSignal };

const document = `mutation ($input: SubmitApplicationInput!) {
  submitApplication(input: $input) { replayed application { id status } }
}`;
const attemptLimitMs = 10_000;
const longestPauseMs = 3_000;

/** Sends until it is acknowledged, under the same key, as a good client does. Answers undefined when it was stopped. */
export async function submitUntilAcknowledged(
  { history, gatewayUrl, stopped }: SubmitDeps,
  submission: Submission,
): Promise<string | undefined> {
  const key = submission.input.idempotencyKey;
  for (let attempt = 1; !stopped.aborted; attempt += 1) {
    submission.attempts += 1;
    const outcome = await send(gatewayUrl(), submission.input);
    if ('id' in outcome) {
      submission.acknowledged.push({ ...outcome, atMs: history.nowMs() });
      history.note('acknowledged', outcome.id, { key, attempt, replayed: outcome.replayed });
      return outcome.id;
    }
    history.note('not acknowledged', key, { attempt, ...outcome });
    if (outcome.wrong) submission.wrongAnswers.push(outcome.problem);
    await delay(Math.min(longestPauseMs, 100 * 2 ** attempt) * (0.5 + Math.random() / 2));
  }
  return undefined;
}

/** The same key with another amount: must be refused, and must not become an application. */
export async function submitOtherInput(deps: SubmitDeps, submission: Submission): Promise<void> {
  const other = { ...submission.input, loanAmountInr: '1.00' };
  for (let attempt = 1; attempt <= 10 && !deps.stopped.aborted; attempt += 1) {
    const outcome = await send(deps.gatewayUrl(), other);
    if ('id' in outcome) submission.wrongAnswers.push('another input was accepted under the same idempotency key');
    else if (outcome.problem === 'IDEMPOTENCY_KEY_REUSED') return;
    else if (outcome.wrong) submission.wrongAnswers.push(outcome.problem);
    if ('id' in outcome) return;
    await delay(longestPauseMs);
  }
}

type Outcome = { id: string; replayed: boolean } | { problem: string; wrong: boolean };

async function send(gatewayUrl: string, input: Input): Promise<Outcome> {
  let text: string;
  try {
    const response = await fetch(`${gatewayUrl}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query: document, variables: { input } }),
      signal: AbortSignal.timeout(attemptLimitMs),
    });
    text = await response.text();
  } catch (error) {
    return { problem: `no answer (${(error as Error).name})`, wrong: false };
  }
  return read(text);
}

type Answer = {
  data?: { submitApplication?: { replayed: boolean; application: { id: string } } };
  errors?: { message: string; extensions?: { code?: string } }[];
};

function read(text: string): Outcome {
  try {
    const { data, errors } = JSON.parse(text) as Answer;
    if (data?.submitApplication) {
      const { replayed, application } = data.submitApplication;
      return { id: application.id, replayed };
    }
    const code = errors?.[0]?.extensions?.code ?? 'an answer without code';
    return { problem: code, wrong: code !== 'UNAVAILABLE' };
  } catch {
    return { problem: 'an answer that is no JSON', wrong: true };
  }
}
