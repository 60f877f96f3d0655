import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';

/** Draws that follow from a seed alone. */
export function chance(seed: number) {
  const generator = xoroshiro128plus(seed);
  const int = (min: number, max: number) => uniformInt(generator, min, max);
  const pick = <T>(from: readonly T[]) => from[int(0, from.length - 1)] as T;
  /** so many different ones, or all in their order when there are no more */
  const some = <T>(from: readonly T[], count: number): readonly T[] => {
    if (from.length <= count) return from;
    const left = [...from];
    for (let index = 0; index < count; index++) {
      const other = int(index, left.length - 1);
      [left[index], left[other]] = [left[other] as T, left[index] as T];
    }
    return left.slice(0, count);
  };
  return { int, pick, some };
}
