export type Allowances = {
  /** True when this key has taken at most as much as allowed since the window began, this included. */
  take: (key: string, amount?: number) => boolean;
  giveBack: (key: string) => void;
  /** until the next window begins, milliseconds */
  msLeft: () => number;
};

/** of each of two generations, so that the memory stays bounded whoever comes */
const maxKeys = 50_000;

/**
 * Counts by key in windows that begin and end for all keys together. A key is forgotten within its window only when
 * so many others have come since it last came, be it in vain: no crowd helps one that keeps coming.
 */
export function createAllowances(max: number, windowMs: number): Allowances {
  let recent = new Map<string, number>();
  let older = new Map<string, number>();
  let endsAt = 0;
  const countOf = (key: string) => recent.get(key) ?? older.get(key) ?? 0;
  const keep = (key: string, count: number) => {
    recent.set(key, count);
    if (recent.size < maxKeys) return;
    older = recent;
    recent = new Map();
  };
  return {
    take: (key, amount = 1) => {
      if (max === Number.POSITIVE_INFINITY) return true;
      const now = performance.now();
      if (now >= endsAt) {
        recent.clear();
        older.clear();
        endsAt = now + windowMs;
      }
      const before = countOf(key);
      const isAllowed = before + amount <= max;
      keep(key, isAllowed ? before + amount : before);
      return isAllowed;
    },
    giveBack: (key) => {
      const before = countOf(key);
      if (before > 0) keep(key, before - 1);
    },
    msLeft: () => Math.max(1, Math.ceil(endsAt - performance.now())),
  };
}
