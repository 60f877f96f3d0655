import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type BatchLimits, inBatches, isolatingBadItems, OverloadedError } from './batch.ts';

const roomy: BatchLimits = { maxItems: 100, maxConcurrent: 10 };

/** A handler whose batches end when the test says so. */
function heldBatches() {
  const batches: { items: readonly number[]; end: () => void }[] = [];
  let underWay = 0;
  let mostUnderWay = 0;
  const handle = (items: readonly number[]) => {
    underWay += 1;
    mostUnderWay = Math.max(mostUnderWay, underWay);
    return new Promise<number[]>((resolve) => {
      const end = () => {
        underWay -= 1;
        resolve(items.map((item) => item * 10));
      };
      batches.push({ items, end });
    });
  };
  return { handle, batches, mostUnderWay: () => mostUnderWay };
}

/** Long enough for everything that is going to happen without outside help. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await nextTurn();
}

describe('items that arrive in one turn of the event loop', () => {
  test('are handled in one batch, in their order', async () => {
    const batches: (readonly string[])[] = [];
    const load = inBatches(async (items: readonly string[]) => {
      batches.push(items);
      return items.map((item) => item.toUpperCase());
    }, roomy);
    const answers = await Promise.all([load('a'), Promise.resolve().then(() => load('b')), load('c')]);
    expect(answers).toEqual(['A', 'B', 'C']);
    expect(batches).toEqual([['a', 'c', 'b']]);
  });

  test('each get their own answer, also when they are equal', async () => {
    let calls = 0;
    const load = inBatches(async (items: readonly string[]) => items.map((item) => `${item}${calls++}`), roomy);
    expect(await Promise.all([load('a'), load('a')])).toEqual(['a0', 'a1']);
    expect(await load('a')).toBe('a2');
  });

  test('are split when they are more than a batch takes', async () => {
    const batches: (readonly number[])[] = [];
    const load = inBatches(
      async (items: readonly number[]) => {
        batches.push(items);
        return items;
      },
      { maxItems: 2, maxConcurrent: 10 },
    );
    expect(await Promise.all([1, 2, 3, 4, 5].map(load))).toEqual([1, 2, 3, 4, 5]);
    expect(batches).toEqual([[1, 2], [3, 4], [5]]);
  });
});

test('an item that arrives alone does not wait for others', async () => {
  const { handle, batches } = heldBatches();
  const load = inBatches(handle, roomy);
  const answer = load(1);
  await settle();
  expect(batches.map((batch) => batch.items)).toEqual([[1]]);
  batches[0]?.end();
  expect(await answer).toBe(10);
});

test('one item more than may wait is refused at once, and there is room again when one is done', async () => {
  const { handle, batches } = heldBatches();
  const load = inBatches(handle, { maxItems: 1, maxConcurrent: 1, maxWaiting: 2 });
  const accepted = [load(1), load(2)];
  await expect(load(3)).rejects.toThrow(OverloadedError);
  await settle();
  batches[0]?.end();
  expect(await accepted[0]).toBe(10);
  const later = load(4);
  for (const index of [1, 2]) {
    await settle();
    batches[index]?.end();
  }
  expect(await Promise.all([accepted[1], later])).toEqual([20, 40]);
});

test('an item that has waited for too long is refused without being begun, and those beside it are not', async () => {
  const { handle, batches } = heldBatches();
  const load = inBatches(handle, { maxItems: 10, maxConcurrent: 1, maxWaitMs: 50 });
  const first = load(1);
  await settle();
  const late = load(2);
  await delay(80);
  const young = load(3);
  batches[0]?.end();
  await settle();
  expect(batches.map(({ items }) => items)).toEqual([[1], [3]]);
  batches[1]?.end();
  await expect(late).rejects.toThrow(OverloadedError);
  expect(await Promise.all([first, young])).toEqual([10, 30]);
});

describe('no more batches than allowed are under way', () => {
  test('and while one is, the next one grows', async () => {
    const { handle, batches } = heldBatches();
    const load = inBatches(handle, { maxItems: 100, maxConcurrent: 1 });
    const answers = [load(1)];
    await settle();
    answers.push(load(2));
    await settle();
    answers.push(load(3), load(4));
    await settle();
    expect(batches.map((batch) => batch.items)).toEqual([[1]]);
    batches[0]?.end();
    await settle();
    expect(batches.map((batch) => batch.items)).toEqual([[1], [2, 3, 4]]);
    batches[1]?.end();
    expect(await Promise.all(answers)).toEqual([10, 20, 30, 40]);
  });

  test('and what waits beyond one batch goes in the order in which it came', async () => {
    const { handle, batches, mostUnderWay } = heldBatches();
    const load = inBatches(handle, { maxItems: 2, maxConcurrent: 2 });
    const answers = [1, 2, 3, 4, 5, 6, 7].map(load);
    await settle();
    expect(batches.map((batch) => batch.items)).toEqual([
      [1, 2],
      [3, 4],
    ]);
    // In whatever order they end.
    batches[1]?.end();
    await settle();
    expect(batches.at(-1)?.items).toEqual([5, 6]);
    batches[0]?.end();
    await settle();
    expect(batches.at(-1)?.items).toEqual([7]);
    batches[2]?.end();
    batches[3]?.end();
    expect(await Promise.all(answers)).toEqual([10, 20, 30, 40, 50, 60, 70]);
    expect(mostUnderWay()).toBe(2);
  });

  test('and a batch that failed makes room like any other', async () => {
    let calls = 0;
    const load = inBatches(
      async (items: readonly number[]) => {
        calls += 1;
        if (calls === 1) throw new Error('the first batch fails');
        return items;
      },
      { maxItems: 1, maxConcurrent: 1 },
    );
    const [first, second] = await Promise.allSettled([load(1), load(2)]);
    expect(first.status).toBe('rejected');
    expect(second).toEqual({ status: 'fulfilled', value: 2 });
  });
});

describe('failures', () => {
  test('an Error in the place of an item fails that item alone', async () => {
    const load = inBatches(
      async (items: readonly number[]) => items.map((item) => (item === 2 ? new Error('two') : item)),
      roomy,
    );
    expect(await Promise.allSettled([load(1), load(2), load(3)])).toEqual([
      { status: 'fulfilled', value: 1 },
      { status: 'rejected', reason: new Error('two') },
      { status: 'fulfilled', value: 3 },
    ]);
  });

  test.each([
    ['a rejection', () => Promise.reject(new Error('down'))],
    [
      'a throw before the first await',
      () => {
        throw new Error('down');
      },
    ],
  ])('%s fails every item of the batch, and the next batch starts afresh', async (_what, fail) => {
    let isDown = true;
    const load = inBatches((items: readonly number[]) => (isDown ? fail() : Promise.resolve(items)), roomy);
    const failed = await Promise.allSettled([load(1), load(2)]);
    expect(failed).toEqual([
      { status: 'rejected', reason: new Error('down') },
      { status: 'rejected', reason: new Error('down') },
    ]);
    isDown = false;
    expect(await load(3)).toBe(3);
  });

  test('a handler that loses an item fails the batch instead of leaving somebody waiting', async () => {
    const load = inBatches(async (items: readonly number[]) => items.slice(1), roomy);
    const outcomes = await Promise.allSettled([load(1), load(2)]);
    expect(outcomes.map((outcome) => outcome.status)).toEqual(['rejected', 'rejected']);
  });
});

test('whatever arrives when, everyone is answered once, with their own answer, within the limits', async () => {
  const burst = fc.array(fc.integer({ min: 1, max: 1_000 }), { maxLength: 12 });
  const limits = fc.record({ maxItems: fc.integer({ min: 1, max: 5 }), maxConcurrent: fc.integer({ min: 1, max: 3 }) });
  await fc.assert(
    fc.asyncProperty(fc.array(burst, { maxLength: 6 }), limits, async (bursts, given) => {
      let underWay = 0;
      const handled: number[] = [];
      const load = inBatches(async (items: readonly number[]) => {
        underWay += 1;
        expect(underWay).toBeLessThanOrEqual(given.maxConcurrent);
        expect(items.length).toBeLessThanOrEqual(given.maxItems);
        handled.push(...items);
        await nextTurn();
        underWay -= 1;
        return items.map((item) => -item);
      }, given);
      const answers: Promise<number>[] = [];
      for (const items of bursts) {
        answers.push(...items.map(load));
        await nextTurn();
      }
      expect(await Promise.all(answers)).toEqual(bursts.flat().map((item) => -item));
      expect(handled).toEqual(bursts.flat());
    }),
  );
});

describe('isolating bad items', () => {
  const outage = new Error('the database is away');
  const isOutage = (error: unknown) => error === outage;

  /** Stores whole numbers, all or nothing, and remembers every attempt. */
  function store(bad: readonly number[]) {
    const attempts: (readonly number[])[] = [];
    const handle = async (items: readonly number[]) => {
      attempts.push(items);
      const found = items.find((item) => bad.includes(item));
      if (found !== undefined) throw new Error(`${found} is bad`);
      return items.map((item) => item * 10);
    };
    return { handle, attempts };
  }

  test('a batch without one is handled in one go', async () => {
    const { handle, attempts } = store([]);
    expect(await isolatingBadItems(handle, isOutage)([1, 2, 3])).toEqual([10, 20, 30]);
    expect(attempts).toEqual([[1, 2, 3]]);
  });

  test('one bad item fails alone; the others are handled', async () => {
    const { handle, attempts } = store([2]);
    expect(await isolatingBadItems(handle, isOutage)([1, 2, 3])).toEqual([10, new Error('2 is bad'), 30]);
    expect(attempts).toEqual([[1, 2, 3], [1], [2], [3]]);
  });

  test('a batch of one bad item is not tried a second time', async () => {
    const { handle, attempts } = store([2]);
    await expect(isolatingBadItems(handle, isOutage)([2])).rejects.toThrow('2 is bad');
    expect(attempts).toEqual([[2]]);
  });

  test('an outage fails the whole batch, once', async () => {
    let attempts = 0;
    const handle = () => {
      attempts += 1;
      return Promise.reject(outage);
    };
    await expect(isolatingBadItems(handle, isOutage)([1, 2, 3])).rejects.toBe(outage);
    expect(attempts).toBe(1);
  });

  test('what a handler answers for single items is passed on as it is', async () => {
    const refusal = new Error('refused');
    const handle = async (items: readonly number[]) => {
      if (items.length > 1) throw new Error('too many at once');
      return items.map((item) => (item === 2 ? refusal : item));
    };
    expect(await isolatingBadItems(handle, isOutage)([1, 2, 3])).toEqual([1, refusal, 3]);
  });

  test('a thrown value that is no Error still fails its item', async () => {
    const handle = (items: readonly number[]) => (items.includes(2) ? Promise.reject('text') : Promise.resolve(items));
    const [one, two] = await isolatingBadItems(handle, isOutage)([1, 2]);
    expect(one).toBe(1);
    expect(two).toBeInstanceOf(Error);
  });
});
