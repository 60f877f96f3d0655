export type StreamLimits = { perAddress: number; total: number; socketsPerAddressPerMinute: number };

/** Why there is no place for another stream. */
export type NoPlace = { reason: 'address' | 'rate' | 'all'; retryAfterSeconds: number };

/** Places for sockets and SSE responses. */
export type StreamPlaces = {
  /** Takes a place; the answer gives it back, once. Or the reason why there is none. */
  enter: (address: string, kind: 'socket' | 'sse') => (() => void) | NoPlace;
  count: () => number;
};

const minuteMs = 60_000;

export function createStreamPlaces(limits: StreamLimits): StreamPlaces {
  const open = new Map<string, number>();
  const connects = createAllowances(limits.socketsPerAddressPerMinute, minuteMs);
  let total = 0;
  return {
    count: () => total,
    enter: (address, kind) => {
      if (kind === 'socket' && !connects.take(address)) return { reason: 'rate', retryAfterSeconds: 60 };
      if (total >= limits.total) return { reason: 'all', retryAfterSeconds: 5 };
      const ofAddress = open.get(address) ?? 0;
      if (ofAddress >= limits.perAddress) return { reason: 'address', retryAfterSeconds: 30 };
      open.set(address, ofAddress + 1);
      total += 1;
      let inside = true;
      return () => {
        if (!inside) return;
        inside = false;
        total -= 1;
        const left = (open.get(address) ?? 1) - 1;
        if (left > 0) open.set(address, left);
        else open.delete(address);
      };
    },
  };
}

export type Allowances = {
  /** True when this key has been seen at most as often as allowed since the window began. */
  take: (key: string) => boolean;
  giveBack: (key: string) => void;
};

/** of one window; beyond, all begin anew, so that the memory stays bounded whoever comes */
const maxKeys = 100_000;

/** Counts by key in windows that begin and end for all keys together. */
export function createAllowances(max: number, windowMs: number): Allowances {
  const seen = new Map<string, number>();
  let endsAt = 0;
  return {
    take: (key) => {
      if (max === Number.POSITIVE_INFINITY) return true;
      const now = performance.now();
      if (now >= endsAt || seen.size >= maxKeys) {
        seen.clear();
        endsAt = now + windowMs;
      }
      const times = (seen.get(key) ?? 0) + 1;
      if (times > max) return false;
      seen.set(key, times);
      return true;
    },
    giveBack: (key) => {
      const left = (seen.get(key) ?? 0) - 1;
      if (left > 0) seen.set(key, left);
      else seen.delete(key);
    },
  };
}
