import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { endOfTurn } from './end-of-turn.ts';

test('whoever waits for the end of a turn goes on after all that is done in it, in order', async () => {
  const order: string[] = [];
  const first = endOfTurn().then(() => order.push('first'));
  await new Promise<void>((resolve) => process.nextTick(resolve));
  order.push('what came meanwhile');
  const second = endOfTurn().then(() => order.push('second'));
  await Promise.all([first, second]);
  expect(order).toEqual(['what came meanwhile', 'first', 'second']);
});

test('each turn has an end of its own, which all wait for', async () => {
  const before = endOfTurn();
  expect(endOfTurn()).toBe(before);
  await before;
  const after = endOfTurn();
  expect(after).not.toBe(before);
  let hasEnded = false;
  void after.then(() => (hasEnded = true));
  expect(hasEnded).toBe(false);
  await nextTurn();
  expect(hasEnded).toBe(true);
});
