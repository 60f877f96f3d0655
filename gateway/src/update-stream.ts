export type UpdateStreamOptions = {
  /** called when the client goes */
  onLeave: () => void;
  /** called when the client has taken something that was kept */
  onTake?: () => void;
};

/** What is passed on to one client, at its own pace. A class, since every watcher has one. */
export class UpdateStream<Item> implements AsyncIterableIterator<Item> {
  readonly #options: UpdateStreamOptions;
  #kept: Item[] | undefined;
  #ended = false;
  #failure: Error | undefined;
  /** what the client waits for, and what tells it */
  #asked: Promise<IteratorResult<Item>> | undefined;
  #answer: ((result: IteratorResult<Item> | Promise<never>) => void) | undefined;

  constructor(options: UpdateStreamOptions) {
    this.#options = options;
  }

  /** Passes an item on at once, or keeps it until the client asks for it. */
  push(item: Item): void {
    if (this.#ended) return;
    if (this.#answer) this.#tell({ done: false, value: item });
    else (this.#kept ??= []).push(item);
  }

  /** What is kept is still given out; then the stream is done. */
  end(): void {
    this.#ended = true;
    if (this.size() > 0 || !this.#answer) return;
    this.#tell(this.#failure ? Promise.reject(this.#failure) : { done: true, value: undefined });
  }

  /** The same at once: what is kept is dropped. With an error the client is told that. */
  cut(error?: Error): void {
    this.#kept = undefined;
    this.#failure = error;
    this.end();
  }

  /** kept, and not given out yet */
  size(): number {
    return this.#kept?.length ?? 0;
  }

  next(): Promise<IteratorResult<Item>> {
    const value = this.#kept?.shift();
    if (value !== undefined) {
      this.#options.onTake?.();
      return Promise.resolve({ done: false, value });
    }
    if (this.#ended) {
      if (this.#failure) return Promise.reject(this.#failure);
      return Promise.resolve({ done: true, value: undefined });
    }
    this.#asked ??= new Promise((resolve) => {
      this.#answer = resolve;
    });
    return this.#asked;
  }

  #tell(result: IteratorResult<Item> | Promise<never>): void {
    this.#answer?.(result);
    this.#asked = undefined;
    this.#answer = undefined;
  }

  return(): Promise<IteratorResult<Item>> {
    this.#options.onLeave();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
