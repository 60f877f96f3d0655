/**
 * What is held for a moment, by the thousand a second: requests, messages, promises. A `Set` or a `Map` is dear for it.
 * When V8 makes room in one it makes a new table, to which the table of before points; once one of these tables has
 * become old, each later one, and all that was in it, is kept until the next full collection. That takes two thirds of
 * the time of a process that does nothing else. Here each has a place in one list, which is used again.
 */
export class Slots<Item extends object> implements Iterable<Item> {
  readonly #places: (Item | undefined)[] = [];
  readonly #free: number[] = [];

  get size(): number {
    return this.#places.length - this.#free.length;
  }

  /** Answers its place, with which it is let go. */
  add(item: Item): number {
    const place = this.#free.pop() ?? this.#places.length;
    this.#places[place] = item;
    return place;
  }

  /** Undefined where nothing is any more. */
  at(place: number): Item | undefined {
    return this.#places[place];
  }

  /** Once for each that was added. */
  letGo(place: number): void {
    if (this.#places[place] === undefined) throw new Error('what is let go is not held');
    this.#places[place] = undefined;
    this.#free.push(place);
  }

  /** Also while some are let go; whoever comes meanwhile may be left out. */
  *[Symbol.iterator](): IterableIterator<Item> {
    for (const item of this.#places) if (item !== undefined) yield item;
  }
}
