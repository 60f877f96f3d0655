/** What is still to be sent to one client. */
type Receiver = { client: object; waitingBytes: number; cut: () => void };

export type SlowClientLimits = {
  /** more than this waits … */
  maxWaitingBytes: number;
  /** … for longer than this */
  maxSlowMs: number;
};

const mostOftenMs = 50;
const leastOftenMs = 1_000;

/**
 * Cuts clients that do not read what they asked for: what waits for them would fill the memory. They are cut
 * and not told, as a close frame would wait behind all the rest; they resume as after any lost connection.
 */
export function cutSlowClients(
  { maxWaitingBytes, maxSlowMs }: SlowClientLimits,
  receivers: () => Iterable<Receiver>,
): Disposable {
  const slowSince = new WeakMap<object, number>();
  const look = () => {
    const now = performance.now();
    for (const { client, waitingBytes, cut } of receivers()) {
      if (waitingBytes <= maxWaitingBytes) {
        slowSince.delete(client);
        continue;
      }
      const since = slowSince.get(client) ?? now;
      slowSince.set(client, since);
      if (now - since >= maxSlowMs) cut();
    }
  };
  const timer = setInterval(look, Math.min(leastOftenMs, Math.max(mostOftenMs, maxSlowMs / 4)));
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
