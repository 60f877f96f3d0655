import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';

/** Draws that follow from a seed alone. */
export type Random = {
  /** a whole number, both ends included */
  int: (min: number, max: number) => number;
  chance: (share: number) => boolean;
  pick: <T>(from: readonly T[]) => T;
  /** so many different ones, or all when there are fewer */
  some: <T>(from: readonly T[], count: number) => T[];
};

export function seeded(seed: number): Random {
  const generator = xoroshiro128plus(seed);
  const int = (min: number, max: number) => uniformInt(generator, min, max);
  const pick = <T>(from: readonly T[]): T => {
    const picked = from[int(0, from.length - 1)];
    if (picked === undefined) throw new Error('there is nothing to pick from');
    return picked;
  };
  return {
    int,
    pick,
    chance: (share) => int(0, 999_999) < share * 1_000_000,
    some: (from, count) => {
      const left = [...from];
      const taken = [];
      while (left.length > 0 && taken.length < count) taken.push(...left.splice(int(0, left.length - 1), 1));
      return taken;
    },
  };
}
