import { monitorEventLoopDelay } from 'node:perf_hooks';

export type EventLoopWatch = Disposable & {
  /** True while what is due is done later than allowed, on average of the last half second. */
  isBehind: () => boolean;
};

const lookEveryMs = 500;
const nanosPerMilli = 1e6;

/** Tells when the process has more to do than it can. */
export function watchEventLoop(maxDelayMs: number): EventLoopWatch {
  if (maxDelayMs === Number.POSITIVE_INFINITY) return { isBehind: () => false, [Symbol.dispose]: () => undefined };
  const delays = monitorEventLoopDelay({ resolution: 20 });
  delays.enable();
  let behind = false;
  let lookedAt = performance.now();
  const timer = setInterval(() => {
    behind = delays.mean / nanosPerMilli > maxDelayMs;
    delays.reset();
    lookedAt = performance.now();
  }, lookEveryMs);
  timer.unref();
  return {
    // The look itself is late when nothing gets its turn.
    isBehind: () => behind || performance.now() - lookedAt > lookEveryMs + maxDelayMs,
    [Symbol.dispose]: () => {
      clearInterval(timer);
      delays.disable();
    },
  };
}
