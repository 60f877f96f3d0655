import { createMetrics } from '@prequal/service';
import { recordedLog } from '@prequal/testing';
import { describe, expect, test, vi } from 'vitest';
import { answerScored, answerStatus, type ScriptedBureau, startScriptedBureau } from '../../simulator/scripted.ts';
import { BureauAwayError, BureauError } from './bureau.ts';
import { type GuardOptions, guardedBureau } from './guarded.ts';
import { httpBureau } from './http.ts';

const request = {
  applicationId: '019a0000-0000-7000-8000-000000000001',
  panNumber: 'PQRSX9876Z',
  monthlyIncomePaise: 80_000_00,
  loanType: 'HOME',
} as const;
const trace = { correlationId: 'c-1', traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` };
const never = 60_000;
const soon = 50;

/** A guarded bureau over HTTP, and how its calls end: `SCORED`, the failure of a call, or `away`. */
function guarded({ url }: ScriptedBureau, options: Partial<GuardOptions> = {}) {
  const metrics = createMetrics('test');
  const { log, lines } = recordedLog();
  const bureau = guardedBureau(httpBureau({ url, token: undefined, timeoutMs: 5_000 }), {
    attempts: 1,
    retryBaseMs: 1,
    breakerFailures: 5,
    breakerResetMs: never,
    stopping: new AbortController().signal,
    log,
    metrics,
    ...options,
  });
  const call = async () => {
    try {
      return (await bureau.report(request, trace)).result;
    } catch (error) {
      if (error instanceof BureauAwayError) return 'away';
      if (error instanceof BureauError) return error.failure;
      throw error;
    }
  };
  const calls = async (count: number) => {
    const ends: string[] = [];
    for (let made = 0; made < count; made += 1) ends.push(await call());
    return ends;
  };
  const figure = async (name: string) => {
    const text = await metrics.metrics();
    const line = text.split('\n').find((found) => found.startsWith(name));
    return Number(line?.split(' ').at(-1));
  };
  return { call, calls, figure, lines };
}

/** A bureau whose answer is a status that the test changes; 200 is a score. */
async function withStatus(status: number) {
  const state = { status };
  const bureau = await startScriptedBureau((response, asked) =>
    state.status === 200 ? answerScored(response, asked) : answerStatus(response, state.status),
  );
  return Object.assign(bureau, { answer: (next: number) => void (state.status = next) });
}

describe('one call', () => {
  test('is tried again while the bureau is unavailable, and counts once', async () => {
    const statuses = [503, 429, 200];
    await using bureau = await startScriptedBureau((response, asked) => {
      const status = statuses[bureau.asked.length - 1];
      return status === 200 ? answerScored(response, asked) : answerStatus(response, status ?? 500);
    });
    const { call, figure } = guarded(bureau, { attempts: 3 });
    expect(await call()).toBe('SCORED');
    expect(bureau.asked).toHaveLength(3);
    expect(await figure('prequal_bureau_calls_total{outcome="scored"')).toBe(1);
    expect(await figure('prequal_bureau_call_seconds_count')).toBe(1);
  });

  test('is tried as often as configured and no more', async () => {
    await using bureau = await withStatus(503);
    await guarded(bureau, { attempts: 3 }).call();
    expect(bureau.asked).toHaveLength(3);
  });

  test.each([401, 404])('is not tried again after an answer that will not change: %d', async (status) => {
    await using bureau = await withStatus(status);
    expect(await guarded(bureau, { attempts: 3 }).call()).toBe('refused');
    expect(bureau.asked).toHaveLength(1);
  });

  test('is not tried again after a lie', async () => {
    await using bureau = await startScriptedBureau((response) => response.end('nonsense'));
    expect(await guarded(bureau, { attempts: 3 }).call()).toBe('invalid');
    expect(bureau.asked).toHaveLength(1);
  });

  test('is not tried again when the service stops, and is nobody’s fault', async () => {
    const stopping = new AbortController();
    await using bureau = await startScriptedBureau((response) => {
      stopping.abort();
      answerStatus(response, 503);
    });
    expect(await guarded(bureau, { attempts: 3, stopping: stopping.signal }).call()).toBe('away');
    expect(bureau.asked).toHaveLength(1);
  });
});

describe('the breaker', () => {
  test('opens at the fifth failed call in a row, and then nobody is let through', async () => {
    await using bureau = await withStatus(200);
    const { call, calls, figure, lines } = guarded(bureau, { attempts: 2 });
    await call();
    bureau.answer(503);
    const before = ['unavailable', 'unavailable', 'unavailable', 'unavailable'];
    expect(await calls(4)).toEqual(before);
    expect(await figure('prequal_bureau_breaker_state')).toBe(0);
    bureau.answer(200);
    expect(await call()).toBe('SCORED');
    bureau.answer(503);
    expect(await calls(4)).toEqual(before);
    expect(await call()).toBe('away');
    expect(await figure('prequal_bureau_breaker_state')).toBe(1);
    const asked = bureau.asked.length;
    bureau.answer(200);
    expect(await calls(3)).toEqual(['away', 'away', 'away']);
    expect(bureau.asked).toHaveLength(asked);
    expect(await figure('prequal_bureau_calls_total{outcome="breaker_open"')).toBe(3);
    expect(await figure('prequal_bureau_calls_total{outcome="unavailable"')).toBe(9);
    expect(lines.join('\n')).toContain('breaker is open');
    expect(lines.join('\n')).not.toContain('PQRSX9876Z');
  });

  test('opens also when the bureau refuses', async () => {
    await using bureau = await startScriptedBureau((response) => answerStatus(response, 401));
    expect(await guarded(bureau).calls(6)).toEqual(['refused', 'refused', 'refused', 'refused', 'away', 'away']);
    expect(bureau.asked).toHaveLength(5);
  });

  test('stays closed when the bureau lies, so that one application cannot keep the others waiting', async () => {
    await using bureau = await startScriptedBureau((response) => answerStatus(response, 200));
    expect(new Set(await guarded(bureau).calls(8))).toEqual(new Set(['invalid']));
  });

  test('stays closed when one request is rejected and others are answered; that one counts against its message', async () => {
    let rejecting = false;
    await using bureau = await startScriptedBureau((response, asked) =>
      rejecting ? answerStatus(response, 422) : answerScored(response, asked),
    );
    const { call, calls } = guarded(bureau);
    expect(await call()).toBe('SCORED');
    rejecting = true;
    expect(new Set(await calls(8))).toEqual(new Set(['rejected']));
  });

  test('takes it for an outage when every request is rejected: then it is ours that are wrong', async () => {
    await using bureau = await startScriptedBureau((response) => answerStatus(response, 422));
    expect(new Set(await guarded(bureau).calls(3))).toEqual(new Set(['away']));
  });

  test('does not open for applicants without history', async () => {
    await using bureau = await startScriptedBureau((response) => response.writeHead(404).end('{"code":"NOT_FOUND"}'));
    expect(new Set(await guarded(bureau).calls(8))).toEqual(new Set(['NO_HISTORY']));
  });

  test.each([
    ['closes when the bureau is back', 200, 'SCORED', 10],
    ['opens again when it is not, and the others ask nobody', 503, 'away', 1],
  ])('half-open lets one call through: %s', async (_what, status, end, askedInAll) => {
    const gate = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<'reached'>();
    let trial = false;
    await using bureau = await startScriptedBureau(async (response, asked) => {
      if (!trial) return answerStatus(response, 503);
      reached.resolve('reached');
      await gate.promise;
      return status === 200 ? answerScored(response, asked) : answerStatus(response, status);
    });
    const { calls, call, figure } = guarded(bureau, { breakerResetMs: 300 });
    await calls(5);
    trial = true;
    const asked = () => bureau.asked.length - 5;
    const waiting: Promise<string>[] = [];
    await vi.waitFor(async () => {
      const first = call();
      // Away: the breaker is open still.
      expect(await Promise.race([first, reached.promise])).toBe('reached');
      waiting.push(first);
    }, 10_000);
    waiting.push(...Array.from({ length: 9 }, call));
    expect(await figure('prequal_bureau_breaker_state')).toBe(2);
    expect(asked()).toBe(1);
    gate.resolve();
    expect(await Promise.all(waiting)).toEqual(Array.from({ length: 10 }, () => end));
    expect(asked()).toBe(askedInAll);
    expect(await figure('prequal_bureau_breaker_state')).toBe(status === 200 ? 0 : 1);
  });
});

describe('without an answer to anybody lately, a bureau', () => {
  test('that is unavailable is away before the breaker opens, so that few messages and many workers lose none', async () => {
    await using bureau = await withStatus(503);
    const { call, figure, calls } = guarded(bureau, { breakerResetMs: soon, breakerFailures: 1_000 });
    expect(await call()).toBe('away');
    bureau.answer(200);
    await call();
    bureau.answer(503);
    await vi.waitFor(async () => expect(await call()).toBe('away'), 10_000);
    expect(new Set(await calls(3))).toEqual(new Set(['away']));
    expect(await figure('prequal_bureau_breaker_state')).toBe(0);
  });

  test('that lies is not away', async () => {
    await using bureau = await startScriptedBureau((response) => response.end('nonsense'));
    expect(await guarded(bureau).call()).toBe('invalid');
  });
});
