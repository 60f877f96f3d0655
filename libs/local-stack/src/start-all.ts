/** Something started: what the caller wants to know of it, and what stops it. */
export type Started<T> = { value: T; resource?: AsyncDisposable };

type Starter<T> = (signal: AbortSignal) => Promise<Started<T>>;

/**
 * Starts everything at the same time and puts it on the stack in the given order, whatever was quicker:
 * so the last one given is stopped first. When one fails the others are told to give up, what had
 * started is on the stack, and the first failure is thrown.
 */
export async function startAll<T extends readonly unknown[]>(
  stack: AsyncDisposableStack,
  signal: AbortSignal,
  starters: { [K in keyof T]: Starter<T[K]> },
): Promise<T> {
  signal.throwIfAborted();
  const group = new AbortController();
  const either = AbortSignal.any([signal, group.signal]);
  let firstFailure: { error: unknown } | undefined;
  const settled = await Promise.all(
    starters.map(async (starter: Starter<unknown>) => {
      try {
        return await starter(either);
      } catch (error) {
        firstFailure ??= { error };
        group.abort();
        return undefined;
      }
    }),
  );
  for (const started of settled) if (started?.resource) stack.use(started.resource);
  signal.throwIfAborted();
  if (firstFailure) throw firstFailure.error;
  return settled.map((started) => started?.value) as unknown as T;
}

/** The promise, or a rejection as soon as the signal fires; what the promise does then is nobody's concern. */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason as Error);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
    promise.catch(() => undefined);
  }
}
