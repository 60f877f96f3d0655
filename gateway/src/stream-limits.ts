import { createAllowances } from './allowances.ts';

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
