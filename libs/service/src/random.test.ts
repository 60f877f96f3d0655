import { expect, test } from 'vitest';
import { pooledRandom } from './random.ts';

test('no byte is given out twice, and what was given out stays as it is', () => {
  const taken = Array.from({ length: 3_000 }, (_, index) => pooledRandom([8, 12, 16][index % 3] ?? 8));
  const before = taken.map((bytes) => bytes.toString('hex'));
  const places = new Set(
    taken.flatMap((bytes) => Array.from(bytes, (_byte, index) => `${poolOf(bytes)} ${bytes.byteOffset + index}`)),
  );
  expect(places.size).toBe(3_000 * 12);
  expect(new Set(before).size).toBe(3_000);
  for (let index = 0; index < 1_000; index += 1) pooledRandom(16);
  expect(taken.map((bytes) => bytes.toString('hex'))).toEqual(before);
});

test.each([0, 1, 4_095, 4_096, 4_097, 10_000])('%i bytes are as many', (bytes) => {
  expect(pooledRandom(bytes)).toHaveLength(bytes);
});

const pools = new Map<ArrayBufferLike, number>();

function poolOf({ buffer }: Buffer): number {
  const known = pools.get(buffer) ?? pools.size;
  pools.set(buffer, known);
  return known;
}
