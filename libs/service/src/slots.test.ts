import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { Slots } from './slots.ts';

test('a place is used again, and what is held is what was added and not let go', () => {
  const [one, two, three] = [{ name: 'one' }, { name: 'two' }, { name: 'three' }];
  const slots = new Slots<{ name: string }>();
  expect([slots.add(one), slots.add(two)]).toEqual([0, 1]);
  slots.letGo(0);
  expect([slots.size, [...slots], slots.at(0), slots.at(1)]).toEqual([1, [two], undefined, two]);
  expect(slots.add(three)).toBe(0);
  expect([slots.size, [...slots]]).toEqual([2, [three, two]]);
  expect([slots.at(7), slots.at(Number.NaN)]).toEqual([undefined, undefined]);
});

test('what is let go twice is an error: its place may be that of another by then', () => {
  const slots = new Slots<object>();
  const place = slots.add({});
  slots.letGo(place);
  expect(() => slots.letGo(place)).toThrow('not held');
  expect(slots.size).toBe(0);
});

test('each may be let go while all are looked at', () => {
  const slots = new Slots<{ place: number }>();
  for (let place = 0; place < 5; place += 1) slots.add({ place });
  const seen: number[] = [];
  for (const { place } of slots) {
    seen.push(place);
    slots.letGo(place);
  }
  expect([seen, slots.size]).toEqual([[0, 1, 2, 3, 4], 0]);
});

test('nothing that was let go is kept until a full collection, as it is by a set that has grown old', async () => {
  const script = `
    import { Slots } from ${JSON.stringify(import.meta.resolve('./slots.ts'))};
    const held = process.argv[1] === 'slots' ? new Slots() : new Set();
    const places = [];
    function cameAndWent(count) {
      for (let index = 0; index < count; index += 1) {
        const item = { bytes: new Array(128).fill(index) };
        const place = held.add(item);
        places.push(held === place ? item : place);
        if (places.length > 64) held.letGo ? held.letGo(places.shift()) : held.delete(places.shift());
        if (index % 1_000 > 0) continue;
        gc({ type: 'minor' });
        gc({ type: 'minor' });
        most = Math.max(most, process.memoryUsage().heapUsed);
      }
    }
    let most = 0;
    cameAndWent(5_000);
    gc();
    const before = most = process.memoryUsage().heapUsed;
    // The most that was kept at a time: a full collection may come in between.
    cameAndWent(50_000);
    console.log((most - before) / 1e6);`;
  const keptMB = async (kind: string) => {
    const args = ['--expose-gc', '--input-type=module', '-e', script, kind];
    return Number((await promisify(execFile)(process.execPath, args)).stdout);
  };
  expect(await keptMB('slots')).toBeLessThan(10);
  // Were it otherwise some day, a set would do.
  expect(await keptMB('set')).toBeGreaterThan(20);
});
