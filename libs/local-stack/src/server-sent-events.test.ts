import { array, assert, asyncProperty, nat } from 'fast-check';
import { expect, test } from 'vitest';
import { serverSentEvents } from './server-sent-events.ts';

const stream =
  ':\n\nevent: next\ndata: {"a":"é"}\n\n: heartbeat\n\nevent: next\r\ndata: one\r\ndata: two\r\n\r\nevent: complete\n\ndata: plain\n\n';

const expected = [
  { event: 'next', data: '{"a":"é"}' },
  { event: 'next', data: 'one\ntwo' },
  { event: 'complete', data: '' },
  { event: 'message', data: 'plain' },
];

async function* pieces(text: string, cuts: number[]): AsyncGenerator<Uint8Array> {
  const bytes = new TextEncoder().encode(text);
  const at = [...new Set(cuts.map((cut) => cut % bytes.length))].toSorted((one, other) => one - other);
  for (const [index, from] of [0, ...at].entries()) yield bytes.subarray(from, at[index] ?? bytes.length);
}

async function all(body: AsyncIterable<Uint8Array>): Promise<unknown[]> {
  const events: unknown[] = [];
  for await (const event of serverSentEvents(body)) events.push(event);
  return events;
}

test('events come out the same however the network cuts the stream', async () => {
  await assert(
    asyncProperty(array(nat(500), { maxLength: 20 }), async (cuts) => {
      expect(await all(pieces(stream, cuts))).toEqual(expected);
    }),
  );
});

test('an event that was cut off by the end of the stream is not delivered', async () => {
  expect(await all(pieces('event: next\ndata: {"half', []))).toEqual([]);
});
