import { Slots } from '@prequal/service';

/** Lets many work at once, or one alone. */
export type OneAlone = {
  /** Begins at once, unless somebody works alone or is about to. */
  beside: <Result>(work: () => Promise<Result>) => Promise<Result>;
  /** Begins when all that are under way are done; who comes meanwhile waits. One caller at a time. */
  alone: <Result>(work: () => Promise<Result>) => Promise<Result>;
};

export function createOneAlone(): OneAlone {
  const underWay = new Slots<Promise<unknown>>();
  let lone: Promise<void> | undefined;

  return {
    beside: async (work) => {
      for (let other = lone; other; other = lone) await other;
      const working = work();
      const place = underWay.add(working);
      try {
        return await working;
      } finally {
        underWay.letGo(place);
      }
    },
    alone: async (work) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      lone = promise;
      try {
        await Promise.allSettled(underWay);
        return await work();
      } finally {
        lone = undefined;
        resolve();
      }
    },
  };
}
