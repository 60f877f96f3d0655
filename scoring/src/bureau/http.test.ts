import { once } from 'node:events';
import { inspect } from 'node:util';
import { recordedLog } from '@prequal/testing';
import { describe, expect, test } from 'vitest';
import type { Behaviour } from '../../simulator/behaviour.ts';
import { answerScored, answerStatus, startScriptedBureau } from '../../simulator/scripted.ts';
import { startBureauSimulator } from '../../simulator/start.ts';
import { BureauError, type BureauFailure } from './bureau.ts';
import { httpBureau } from './http.ts';
import { simulatedBureau } from './simulated.ts';

const request = {
  applicationId: '019a0000-0000-7000-8000-000000000001',
  panNumber: 'PQRSX9876Z',
  monthlyIncomePaise: 80_000_05,
  loanType: 'HOME',
} as const;
const trace = { correlationId: 'c-1', traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` };
const bureauAt = (url: string, timeoutMs = 5_000) => httpBureau({ url, token: 'a-token', timeoutMs });

/** How the call failed. Whatever is printed or logged of the error, the PAN is not in it, nor is what was said. */
async function failureOf(call: Promise<unknown>): Promise<BureauFailure> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof BureauError)) throw new Error(`expected a BureauError, not ${inspect(error)}`);
  const { log, lines } = recordedLog();
  log.error({ err: error }, 'failed');
  for (const printed of [inspect(error, { depth: 20, showHidden: true }), ...lines]) {
    expect(printed).not.toMatch(/PQRSX9876Z|a-token|maintained|9999/);
  }
  return error.failure;
}

async function simulator(behaviour: Behaviour | { behaviour: string }) {
  const running = await startBureauSimulator({ BUREAU_PORT: '0', LOG_LEVEL: 'silent' });
  const set = await fetch(`${running.url}/behaviour`, { method: 'PUT', body: JSON.stringify(behaviour) });
  expect(set.status).toBe(200);
  return running;
}

describe('a bureau that', () => {
  test('answers gives the score that the simulated one gives', async () => {
    await using running = await simulator({ behaviour: 'normal' });
    const simulated = simulatedBureau({ useSandboxFixtures: true });
    for (const panNumber of [request.panNumber, 'ABCDE1234F', 'FGHIJ5678K']) {
      const report = await bureauAt(running.url).report({ ...request, panNumber }, trace);
      expect(report).toEqual({ ...(await simulated.report({ ...request, panNumber }, trace)), bureau: '127.0.0.1' });
    }
  });

  test.each(['noHistory', 'notFound'])('knows nothing (%s) is no failure', async (behaviour) => {
    await using running = await simulator({ behaviour });
    expect(await bureauAt(running.url).report(request, trace)).toEqual({ result: 'NO_HISTORY', bureau: '127.0.0.1' });
  });

  test.each([
    ['unavailable', { behaviour: 'unavailable' }],
    ['timeout', { behaviour: 'slow', delayMs: 60_000 }],
    ['invalid', { behaviour: 'lying', lie: 'score' }],
    ['invalid', { behaviour: 'lying', lie: 'applicationId' }],
    ['invalid', { behaviour: 'lying', lie: 'notJson' }],
    ['invalid', { behaviour: 'lying', lie: 'huge' }],
  ] as const)('is %s by %o fails the call', async (failure, behaviour) => {
    await using running = await simulator(behaviour);
    const bureau = bureauAt(running.url, failure === 'timeout' ? 100 : 5_000);
    expect(await failureOf(bureau.report(request, trace))).toBe(failure);
  });

  test.each([
    [500, 'unavailable'],
    [429, 'unavailable'],
    [400, 'rejected'],
    [422, 'rejected'],
    [401, 'refused'],
    // The address is wrong, which says nothing about the applicant.
    [404, 'refused'],
    [204, 'refused'],
  ] as const)('answers %d fails the call: %s', async (status, failure) => {
    await using bureau = await startScriptedBureau((response) => answerStatus(response, status));
    expect(await failureOf(bureauAt(bureau.url).report(request, trace))).toBe(failure);
  });

  test('is not there fails the call', async () => {
    const gone = await startScriptedBureau(answerScored);
    await gone[Symbol.asyncDispose]();
    expect(await failureOf(bureauAt(gone.url).report(request, trace))).toBe('unavailable');
  });

  test('begins to answer and never ends is cut off in time', async () => {
    await using bureau = await startScriptedBureau((response) => response.writeHead(200).write('{'));
    expect(await failureOf(bureauAt(bureau.url, 100).report(request, trace))).toBe('timeout');
  });

  test('answers without an end is cut off at the limit', async () => {
    const closed = Promise.withResolvers<void>();
    await using bureau = await startScriptedBureau(async (response) => {
      response.once('close', closed.resolve).writeHead(200);
      while (!response.closed)
        if (!response.write(' '.repeat(4_096))) await once(response, 'drain').catch(() => undefined);
    });
    expect(await failureOf(bureauAt(bureau.url).report(request, trace))).toBe('invalid');
    await closed.promise;
  });

  test('answers with both a score of another type and more is refused, and unknown fields are ignored', async () => {
    const answer = { applicationId: request.applicationId, result: 'SCORED', score: '742' as unknown, more: 'x' };
    await using bureau = await startScriptedBureau((response) => response.end(JSON.stringify(answer)));
    expect(await failureOf(bureauAt(bureau.url).report(request, trace))).toBe('invalid');
    answer.score = 742;
    expect(await bureauAt(bureau.url).report(request, trace)).toMatchObject({ result: 'SCORED', score: 742 });
  });
});

describe('the PAN', () => {
  test('is sent in the body alone, in the trace of its application', async () => {
    await using bureau = await startScriptedBureau(answerScored);
    await bureauAt(bureau.url).report(request, trace);
    const [asked] = bureau.asked;
    expect(asked).toMatchObject({ method: 'POST', url: '/v1/credit-reports' });
    expect(JSON.parse(asked?.body ?? '')).toEqual({
      applicationId: request.applicationId,
      panNumber: 'PQRSX9876Z',
      loanType: 'HOME',
      monthlyIncomeInr: '80000.05',
    });
    expect(asked?.headers).toMatchObject({
      authorization: 'Bearer a-token',
      'content-type': 'application/json',
      'x-correlation-id': 'c-1',
      traceparent: expect.stringMatching(new RegExp(`^00-${'a'.repeat(32)}-(?!b{16})[0-9a-f]{16}-01$`)),
    });
    expect(JSON.stringify(asked?.headers)).not.toContain('PQRSX9876Z');
  });

  test.each(['PQRSX9876Z', 'two\r\nlines'])('or what breaks a header is not passed on: %j', async (correlationId) => {
    await using bureau = await startScriptedBureau(answerScored);
    await httpBureau({ url: bureau.url, token: undefined, timeoutMs: 5_000 }).report(request, {
      ...trace,
      correlationId,
    });
    expect(bureau.asked[0]?.headers['x-correlation-id']).toMatch(/^[0-9a-f]{32}$/);
    expect(bureau.asked[0]?.headers).not.toHaveProperty('authorization');
  });

  test.each([301, 302, 307, 308])('does not follow a redirect (%d) to another server', async (status) => {
    await using other = await startScriptedBureau(answerScored);
    await using bureau = await startScriptedBureau((response) =>
      response.writeHead(status, { location: `${other.url}/v1/credit-reports` }).end(),
    );
    expect(await failureOf(bureauAt(bureau.url).report(request, trace))).toBe('unavailable');
    expect(other.asked).toEqual([]);
  });
});
