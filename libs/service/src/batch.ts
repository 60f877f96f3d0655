import DataLoader from 'dataloader';

export type BatchLimits = {
  /** most items one call of the handler gets */
  maxItems: number;
  /** most calls of the handler under way at once; what comes meanwhile waits and forms the next batches */
  maxConcurrent: number;
  /** how long a batch stays open for more, milliseconds; 0 (the default): until the turn of the event loop ends */
  lingerMs?: number;
};

/**
 * Makes one bad item fail alone: when a batch fails because of what is in it, each item is tried by
 * itself. `isOutage` tells failures that are nobody's fault; those fail the whole batch, once.
 */
export function isolatingBadItems<Item, Result>(
  handle: (items: readonly Item[]) => Promise<readonly (Result | Error)[]>,
  isOutage: (error: unknown) => boolean,
): (items: readonly Item[]) => Promise<readonly (Result | Error)[]> {
  return async (items) => {
    try {
      return await handle(items);
    } catch (error) {
      if (items.length === 1 || isOutage(error)) throw error;
    }
    const results: (Result | Error)[] = [];
    for (const item of items) {
      results.push(
        ...(await handle([item]).catch((error: unknown) => [
          error instanceof Error ? error : new Error('not an Error'),
        ])),
      );
    }
    return results;
  };
}

/**
 * Lets callers ask for one item while the work is done for many: what arrives in one turn of the event
 * loop is handled together, and under load batches grow while earlier ones are under way. Without load
 * an item waits no longer than the turn it came in.
 *
 * `handle` answers in the order of its items; an `Error` in a place fails that item alone, a throw fails
 * the batch.
 */
export function inBatches<Item extends {}, Result>(
  handle: (items: readonly Item[]) => Promise<readonly (Result | Error)[]>,
  limits: BatchLimits,
): (item: Item) => Promise<Result> {
  const ready: (() => void)[] = [];
  let running = 0;
  const startReady = () => {
    while (running < limits.maxConcurrent) {
      const dispatch = ready.shift();
      if (!dispatch) return;
      running += 1;
      dispatch();
    }
  };
  const loader = new DataLoader<Item, Result>(
    async (items) => {
      try {
        return await handle(items);
      } finally {
        running -= 1;
        startReady();
      }
    },
    {
      cache: false,
      maxBatchSize: limits.maxItems,
      batchScheduleFn: (dispatch) => {
        // A batch that waits for its turn is still open: later items join it.
        const close = () => {
          ready.push(dispatch);
          startReady();
        };
        if (limits.lingerMs) setTimeout(close, limits.lingerMs);
        else setImmediate(close);
      },
    },
  );
  return (item) => loader.load(item);
}
