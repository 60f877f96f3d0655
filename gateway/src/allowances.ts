export type Allowances = {
  /** True when this key has taken at most as much as allowed since the window began, this included. */
  take: (key: string, amount?: number) => boolean;
  giveBack: (key: string) => void;
  /** until the next window begins, milliseconds */
  msLeft: () => number;
};

/** of one window; beyond, all begin anew, so that the memory stays bounded whoever comes */
const maxKeys = 100_000;

/** Counts by key in windows that begin and end for all keys together. */
export function createAllowances(max: number, windowMs: number): Allowances {
  const taken = new Map<string, number>();
  let endsAt = 0;
  return {
    take: (key, amount = 1) => {
      if (max === Number.POSITIVE_INFINITY) return true;
      const now = performance.now();
      if (now >= endsAt || taken.size >= maxKeys) {
        taken.clear();
        endsAt = now + windowMs;
      }
      const all = (taken.get(key) ?? 0) + amount;
      if (all > max) return false;
      taken.set(key, all);
      return true;
    },
    giveBack: (key) => {
      const left = (taken.get(key) ?? 0) - 1;
      if (left > 0) taken.set(key, left);
      else taken.delete(key);
    },
    msLeft: () => Math.max(1, Math.ceil(endsAt - performance.now())),
  };
}
