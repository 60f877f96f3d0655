import DataLoader from 'dataloader';

export type BatchLimits = {
  /** most items one call of the handler gets */
  maxItems: number;
  /** most calls of the handler under way at once; what comes meanwhile waits and forms the next batches */
  maxConcurrent: number;
  /** most items that wait or are being handled; one more is refused at once. Default: no limit */
  maxWaiting?: number;
  /** an item that has waited for longer when its turn comes is refused, milliseconds. Default: no limit */
  maxWaitMs?: number;
  /** how long a batch stays open for more, milliseconds; 0 (the default): until the turn of the event loop ends */
  lingerMs?: number;
};

/** There is more to do than can be done in time. Nothing of this item was begun: it may be sent again. */
export class OverloadedError extends Error {
  override readonly name = 'OverloadedError';
}

/**
 * Makes one bad item fail alone: when a batch fails because of what is in it, each item is tried by
 * itself. `isOutage` tells failures that are nobody's fault; those fail the whole batch, once.
 */
export function isolatingBadItems<Item, Result>(
  handle: HandleTogether<Item, Result>,
  isOutage: (error: unknown) => boolean,
): HandleTogether<Item, Result> {
  return async (items) => {
    try {
      return await handle(items);
    } catch (error) {
      if (items.length === 1 || isOutage(error)) throw error;
    }
    const results: (Result | Error | Promise<Result>)[] = [];
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
 * the batch, and a promise is for an item that the next batches need not wait for. Throws `OverloadedError` for what is
 * beyond the limits.
 */
export function inBatches<Item extends {}, Result>(
  handle: HandleTogether<Item, Result>,
  limits: BatchLimits,
): (item: Item) => Promise<Result> {
  const { maxWaiting = Number.POSITIVE_INFINITY, maxWaitMs = Number.POSITIVE_INFINITY } = limits;
  const ready: (() => void)[] = [];
  let running = 0;
  let waiting = 0;
  const startReady = () => {
    while (running < limits.maxConcurrent) {
      const dispatch = ready.shift();
      if (!dispatch) return;
      running += 1;
      dispatch();
    }
  };
  async function handleInTime(
    waited: readonly Waiting<Item>[],
  ): Promise<readonly (Result | Error | Promise<Result>)[]> {
    const oldest = performance.now() - maxWaitMs;
    const inTime = waited.filter(({ since }) => since >= oldest).map(({ item }) => item);
    const results = inTime.length > 0 ? await handle(inTime) : [];
    if (inTime.length === waited.length) return results;
    const left = results.values();
    return waited.map(({ since }) =>
      since >= oldest ? (left.next().value as Result | Error | Promise<Result>) : new OverloadedError(),
    );
  }
  const loader = new DataLoader<Waiting<Item>, Result>(
    async (items) => {
      try {
        // What a promise resolves with, its caller is given by the loader.
        return (await handleInTime(items)) as (Result | Error)[];
      } finally {
        running -= 1;
        waiting -= items.length;
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
  return async (item) => {
    if (waiting >= maxWaiting) throw new OverloadedError();
    waiting += 1;
    return loader.load({ item, since: performance.now() });
  };
}

type HandleTogether<Item, Result> = (items: readonly Item[]) => Promise<readonly (Result | Error | Promise<Result>)[]>;

type Waiting<Item> = { item: Item; since: number };
