let end: Promise<void> | undefined;

/**
 * Resolves at the end of this turn of the event loop, for all who wait for it together: for what is written to clients.
 * A write wakes the client that it is for, which on two cores takes longer than to make the answer; those that follow
 * one another find the same client, or the proxy between, still awake.
 */
export function endOfTurn(): Promise<void> {
  end ??= new Promise((resolve) => {
    setImmediate(() => {
      end = undefined;
      resolve();
    });
  });
  return end;
}
