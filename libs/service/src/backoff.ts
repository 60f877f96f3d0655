/**
 * A delay in milliseconds before attempt `attempt` (1 is the first retry): doubles from `baseMs` up to
 * `maxMs`, then a random part of it (half to all), so that many waiters do not come back at once.
 */
export function backoffMs(attempt: number, limits: { baseMs: number; maxMs: number }, random = Math.random): number {
  const fullMs = Math.min(limits.maxMs, limits.baseMs * 2 ** Math.min(attempt - 1, 30));
  return Math.round(fullMs * (0.5 + random() / 2));
}
