import { randomUUID } from 'node:crypto';
import { attemptsSubject } from '@prequal/schema';
import { type TestNats, test } from '@prequal/testing';
import { beforeEach, expect, vi } from 'vitest';
import { attemptNotes } from './attempts.ts';
import { BrokerAwayError } from './connect.ts';
import { provision } from './provision.ts';

const notesOf = (nats: TestNats, isStopping = () => false) => attemptNotes(nats.broker, 'decisioning', isStopping);
const [before, during, after] = [0, 1, 2].map((unfinished) => ({ unfinished, failures: 1 }));
if (!before || !during || !after) throw new Error('unreachable');

/** What stands there for a message. */
async function stored(nats: TestNats, messageId: string): Promise<unknown> {
  const { jsm } = await nats.broker.jetStream();
  const subject = attemptsSubject('decisioning', messageId);
  return (await jsm.streams.getMessage('LOAN_ATTEMPTS', { last_by_subj: subject })).json();
}

/** How many notes were ever stored, by whomever. */
async function countWritten(nats: TestNats): Promise<number> {
  const { jsm } = await nats.broker.jetStream();
  return (await jsm.streams.info('LOAN_ATTEMPTS')).state.last_seq;
}

const backAgain = (nats: TestNats) => vi.waitFor(() => expect(nats.broker.isConnected()).toBe(true), 15_000);

beforeEach<{ nats: TestNats }>(async ({ nats }) => {
  const { jsm } = await nats.broker.jetStream();
  await provision(jsm, { replicas: 1, ackWaitMs: 1_000 });
});

test('what is put back in an outage stands there after it, was there for us all the time, and is written once', async ({
  nats,
}) => {
  let tries = 0;
  const connectedJetStream = () => {
    tries += 1;
    return nats.broker.connectedJetStream();
  };
  const attempts = attemptNotes({ ...nats.broker, connectedJetStream }, 'decisioning', () => false);
  const id = randomUUID();
  const noted = await attempts.write(id, during);
  const written = await countWritten(nats);
  {
    await using _ = await nats.away();
    await vi.waitFor(() => expect(nats.broker.isConnected()).toBe(false), 10_000);
    const startedAt = performance.now();
    // As often as its message comes again: one loop is at it all the same, and it waits longer each time.
    for (let time = 0; time < 5; time += 1) await attempts.restore(id, before, noted);
    const soFar = tries;
    await vi.waitFor(() => expect(tries).toBeGreaterThanOrEqual(soFar + 5), 10_000);
    expect(performance.now() - startedAt).toBeGreaterThan(1_000);
    expect(await attempts.read(id)).toMatchObject({ notes: before });
    await expect(attempts.write(id, after)).rejects.toThrow(BrokerAwayError);
    expect(await attempts.read(id)).toMatchObject({ notes: before });
  }
  await vi.waitFor(async () => expect(await stored(nats, id)).toEqual(before), 15_000);
  await expect.poll(() => countWritten(nats)).toBe(written + 1);
});

test('what is put back replaces no newer notes, neither of another worker nor our own', async ({ nats }) => {
  const [attempts, another] = [notesOf(nats), notesOf(nats)];
  const [theirs, ours] = [randomUUID(), randomUUID()];
  const notedTheirs = await attempts.write(theirs, during);
  const notedOurs = await attempts.write(ours, during);
  await another.write(theirs, after);
  // Under way at the same time, in either order.
  await Promise.all([attempts.restore(ours, before, notedOurs), attempts.write(ours, after)]);
  await attempts.restore(theirs, before, notedTheirs);
  expect([await stored(nats, theirs), await stored(nats, ours)]).toEqual([after, after]);
  expect((await attempts.read(theirs)).notes).toEqual(after);
  expect((await attempts.read(ours)).notes).toEqual(after);
});

test('what was put back in an outage is owed no more once newer notes are written', async ({ nats }) => {
  const attempts = notesOf(nats);
  const ids = Array.from({ length: 20 }, () => randomUUID());
  const noted = await Promise.all(ids.map((id) => attempts.write(id, during)));
  {
    await using _ = await nats.away();
    await vi.waitFor(() => expect(nats.broker.isConnected()).toBe(false), 10_000);
    await Promise.all(ids.map((id, index) => attempts.restore(id, before, noted[index] ?? 0)));
  }
  await backAgain(nats);
  await Promise.all(ids.map((id) => vi.waitFor(() => attempts.write(id, after), { timeout: 15_000, interval: 20 })));
  // Until no loop is at it.
  await attempts[Symbol.asyncDispose]();
  expect(await Promise.all(ids.map((id) => stored(nats, id)))).toEqual(ids.map(() => after));
});

test('a worker that stops writes what it owes, and waits no longer than a second for that', async ({ nats }) => {
  let stopping = false;
  const attempts = notesOf(nats, () => stopping);
  const id = randomUUID();
  const noted = await attempts.write(id, during);
  {
    await using _ = await nats.away();
    await vi.waitFor(() => expect(nats.broker.isConnected()).toBe(false), 10_000);
    await attempts.restore(id, before, noted);
    stopping = true;
    const startedAt = performance.now();
    await attempts[Symbol.asyncDispose]();
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  }
  await backAgain(nats);
  expect(await stored(nats, id)).toEqual(during);
  await attempts[Symbol.asyncDispose]();
  expect(await stored(nats, id)).toEqual(before);
});
