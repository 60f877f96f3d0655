import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { atInstant } from './viewer.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const dayMs = 86_400_000;

test('an instant further ahead than a timer can wait is met, without asking the clock all the time', () => {
  const started = vi.spyOn(globalThis, 'setTimeout');
  const call = vi.fn<() => void>();
  atInstant(Date.now() + 90 * dayMs, new AbortController().signal, call);
  vi.advanceTimersByTime(90 * dayMs - 1);
  expect(call).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  expect(call).toHaveBeenCalledOnce();
  expect(started.mock.calls.length).toBeLessThan(10);
  expect(Math.max(...started.mock.calls.map(([, waitMs]) => waitMs ?? 0))).toBeLessThan(2 ** 31);
});

test('an instant that has passed is met at once, and none once the signal has fired', () => {
  const call = vi.fn<() => void>();
  const gone = new AbortController();
  atInstant(Date.now() - 1, gone.signal, call);
  expect(call).toHaveBeenCalledOnce();
  atInstant(Date.now() + 1_000, gone.signal, call);
  gone.abort();
  atInstant(Date.now() - 1, gone.signal, call);
  vi.advanceTimersByTime(dayMs);
  expect(call).toHaveBeenCalledOnce();
  expect(vi.getTimerCount()).toBe(0);
});
