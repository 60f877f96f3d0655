/** What is passed on to one client, at its own pace. */
export type UpdateStream<Item> = {
  /** Passes an item on at once, or keeps it until the client asks for it. */
  push: (item: Item) => void;
  /** What is kept is still given out; then the stream is done. */
  end: () => void;
  /** The same at once: what is kept is dropped. With an error the client is told that. */
  cut: (error?: Error) => void;
  /** kept, and not given out yet */
  size: () => number;
  iterator: AsyncIterableIterator<Item>;
};

/** `onLeave` is called when the client goes, `onTake` when it has taken something that was kept. */
export function createUpdateStream<Item>(onLeave: () => void, onTake?: () => void): UpdateStream<Item> {
  const kept: Item[] = [];
  let ended = false;
  let failure: Error | undefined;
  let waiting: PromiseWithResolvers<IteratorResult<Item>> | undefined;

  function end(): void {
    ended = true;
    if (kept.length > 0) return;
    if (failure) waiting?.reject(failure);
    else waiting?.resolve({ done: true, value: undefined });
    waiting = undefined;
  }

  const iterator: AsyncIterableIterator<Item> = {
    next: async () => {
      const value = kept.shift();
      if (value !== undefined) {
        onTake?.();
        return { done: false, value };
      }
      if (ended) {
        if (failure) throw failure;
        return { done: true, value: undefined };
      }
      waiting ??= Promise.withResolvers();
      return waiting.promise;
    },
    return: async () => {
      onLeave();
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]: () => iterator,
  };

  return {
    push: (item) => {
      if (ended) return;
      if (waiting) waiting.resolve({ done: false, value: item });
      else kept.push(item);
      waiting = undefined;
    },
    end,
    cut: (error) => {
      kept.length = 0;
      failure = error;
      end();
    },
    size: () => kept.length,
    iterator,
  };
}
