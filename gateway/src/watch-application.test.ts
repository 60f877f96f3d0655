import type { ApplicationStatus, StatusUpdate } from '@prequal/schema';
import { expect, test, vi } from 'vitest';
import type { ReadStatus } from './read-status.ts';
import type { Signal } from './status-feed.ts';
import { watchApplication } from './watch-application.ts';

const applicationId = '01890000-0000-7000-8000-000000000001';

function update(version: number, status: ApplicationStatus): StatusUpdate {
  return { applicationId, version, status, occurredAt: new Date(version), cibilScore: null, reasons: [] };
}

const pending = update(1, 'PENDING');
const review = update(2, 'MANUAL_REVIEW');
const approved = update(3, 'PRE_APPROVED');

type Snapshot = Awaited<ReturnType<ReadStatus>>;

/** The two ports of a watcher in the test's hand: it decides when NATS has confirmed and what a read answers. */
function world({ confirmed = true } = {}) {
  const steps: string[] = [];
  const confirmation = Promise.withResolvers<void>();
  if (confirmed) confirmation.resolve();
  const reads: { after: number | undefined; answer: PromiseWithResolvers<Snapshot> }[] = [];
  let listener: (signal: Signal) => void = () => undefined;
  let stopped = 0;
  const deps = {
    feed: {
      watch: (_id: string, onSignal: (signal: Signal) => void) => {
        steps.push('subscribe');
        listener = onSignal;
        const subscribed = confirmation.promise.then(() => void steps.push('confirmed'));
        return { subscribed, stop: () => void (stopped += 1) };
      },
    },
    readStatus: ({ after }: { after: number | undefined }) => {
      steps.push('read');
      const answer = Promise.withResolvers<Snapshot>();
      reads.push({ after, answer });
      return answer.promise;
    },
    pause: async (attempt: number) => void steps.push(`pause ${attempt}`),
  };
  const gone = new AbortController();
  return {
    deps,
    gone,
    steps,
    confirmation,
    signal: (signal: Signal) => listener(signal),
    stops: () => stopped,
    reads,
    /** Answers the nth read as the database would: what is newer than what was asked for. */
    answer: async (index: number, ...known: StatusUpdate[]) => {
      const read = await vi.waitFor(() => reads[index] ?? Promise.reject(new Error(`no read ${index}`)), 10_000);
      const last = known.at(-1);
      const updates =
        read.after === undefined ? known.slice(-1) : known.filter(({ version }) => version > (read.after ?? 0));
      read.answer.resolve(last && { updates, final: ['PRE_APPROVED', 'REJECTED'].includes(last.status) });
    },
  };
}

async function watching(w: ReturnType<typeof world>, after?: number, ...known: StatusUpdate[]) {
  const stream = watchApplication(w.deps, applicationId, after, w.gone.signal);
  if (known.length > 0) await w.answer(0, ...known);
  return stream;
}

const asked = new WeakMap<AsyncIterator<StatusUpdate>, Promise<IteratorResult<StatusUpdate>>>();

/** What can be taken now, without waiting for anything to come; a question that stays open is asked on next time. */
async function taken(stream: AsyncIterator<StatusUpdate>): Promise<(number | 'end')[]> {
  const seen: (number | 'end')[] = [];
  for (;;) {
    const question = asked.get(stream) ?? stream.next();
    asked.set(stream, question);
    const next = await Promise.race([
      question,
      new Promise<undefined>((resolve) => setImmediate(() => resolve(undefined))),
    ]);
    if (next === undefined) return seen;
    asked.delete(stream);
    seen.push(next.done ? 'end' : next.value.version);
    if (next.done) return seen;
  }
}

test('it subscribes, waits for the confirmation, and only then reads', async () => {
  const w = world({ confirmed: false });
  const stream = watchApplication(w.deps, applicationId, undefined, w.gone.signal);
  await new Promise((resolve) => setImmediate(resolve));
  expect(w.steps).toEqual(['subscribe']);
  w.confirmation.resolve();
  await w.answer(0, pending);
  expect((await (await stream).next()).value).toBe(pending);
  expect(w.steps).toEqual(['subscribe', 'confirmed', 'read']);
});

test('a signal that comes before or during the first read is not lost and not doubled', async () => {
  for (const when of ['before', 'during'] as const) {
    const w = world({ confirmed: false });
    const stream = watchApplication(w.deps, applicationId, undefined, w.gone.signal);
    if (when === 'before') w.signal(review);
    w.confirmation.resolve();
    await vi.waitFor(() => expect(w.reads).toHaveLength(1), 10_000);
    if (when === 'during') w.signal(review);
    // The first read was too early to see it.
    await w.answer(0, pending);
    if (when === 'during') await w.answer(1, pending, review);
    else {
      await stream;
      w.signal(review);
    }
    expect(await taken(await stream), when).toEqual([1, 2]);
  }
});

test('the next version is passed on without asking the database', async () => {
  const w = world();
  const stream = await watching(w, undefined, pending);
  w.signal(review);
  expect(await taken(stream)).toEqual([1, 2]);
  expect(w.reads).toHaveLength(1);
});

test('a version is passed on once, however often it is signalled, and none goes back', async () => {
  const w = world();
  const stream = await watching(w, undefined, pending, review);
  for (const again of [pending, review, pending, review]) w.signal(again);
  w.signal(approved);
  w.signal(approved);
  expect(await taken(stream)).toEqual([2, 3, 'end']);
  expect(w.reads).toHaveLength(1);
});

test('a gap is filled from the database, in order', async () => {
  const w = world();
  const stream = await watching(w, undefined, pending);
  w.signal(approved);
  expect(await taken(stream)).toEqual([1]);
  await w.answer(1, pending, review, approved);
  expect(await taken(stream)).toEqual([2, 3, 'end']);
});

test('when changes may have been missed it looks, and passes on what is new', async () => {
  const w = world();
  const stream = await watching(w, undefined, pending);
  w.signal('look');
  await w.answer(1, pending);
  expect(await taken(stream)).toEqual([1]);
  w.signal('look');
  await w.answer(2, pending, review);
  expect(await taken(stream)).toEqual([2]);
});

test('while it reads, any number of signals make it read once more', async () => {
  const w = world();
  const stream = await watching(w, undefined, pending);
  w.signal('look');
  for (const signal of ['look', approved, 'look'] as const) w.signal(signal);
  await w.answer(1, pending);
  await w.answer(2, pending, review, approved);
  expect(await taken(stream)).toEqual([1, 2, 3, 'end']);
  expect(w.reads).toHaveLength(3);
});

test('while the database is away it waits longer each time, and the stream goes on', async () => {
  const w = world();
  const stream = watchApplication(w.deps, applicationId, undefined, w.gone.signal);
  for (const index of [0, 1, 2]) {
    await vi.waitFor(() => expect(w.reads).toHaveLength(index + 1), 10_000);
    w.reads[index]?.answer.reject(new Error('away'));
  }
  await w.answer(3, pending);
  expect(await taken(await stream)).toEqual([1]);
  expect(w.steps.filter((step) => step.startsWith('pause'))).toEqual(['pause 1', 'pause 2', 'pause 3']);
});

test('after a final status the stream ends and the subscription is released', async () => {
  const w = world();
  const stream = await watching(w, 0, pending, review, approved);
  expect(await taken(stream)).toEqual([1, 2, 3, 'end']);
  expect(w.stops()).toBeGreaterThan(0);
  w.signal('look');
  expect(w.reads).toHaveLength(1);
});

test('a final status that was seen before ends the stream at once', async () => {
  for (const after of [3, 9]) {
    const w = world();
    expect(await taken(await watching(w, after, pending, review, approved)), String(after)).toEqual(['end']);
  }
});

test('an application nobody knows is refused, and its subscription released', async () => {
  const w = world();
  const stream = watchApplication(w.deps, applicationId, undefined, w.gone.signal);
  await w.answer(0);
  await expect(stream).rejects.toMatchObject({ code: 'NOT_FOUND' });
  expect(w.stops()).toBeGreaterThan(0);
});

test('a watcher that leaves while it waits is released at once', async () => {
  const w = world();
  const stream = await watching(w, undefined, pending);
  await stream.next();
  const waiting = stream.next();
  await stream.return?.();
  expect(await waiting).toMatchObject({ done: true });
  expect(w.stops()).toBeGreaterThan(0);
  w.signal(review);
  expect(await taken(stream)).toEqual(['end']);
});

test('a client that leaves before its stream has begun leaves nothing behind', async () => {
  for (const moment of ['before', 'unconfirmed', 'reading', 'database away'] as const) {
    const w = world({ confirmed: moment !== 'unconfirmed' });
    if (moment === 'before') w.gone.abort();
    const stream = watchApplication(w.deps, applicationId, undefined, w.gone.signal);
    if (moment === 'reading' || moment === 'database away')
      await vi.waitFor(() => expect(w.reads).toHaveLength(1), 10_000);
    w.gone.abort();
    if (moment === 'database away') w.reads[0]?.answer.reject(new Error('away'));
    else w.reads[0]?.answer.resolve({ updates: [pending], final: false });
    w.confirmation.resolve();
    expect(await taken(await stream), moment).toEqual(['end']);
    expect(w.stops(), moment).toBeGreaterThan(0);
    expect(w.reads.length, moment).toBeLessThanOrEqual(1);
  }
});

test('a client that leaves while it waits for a change is released at once', async () => {
  const w = world();
  const stream = await watching(w, undefined, pending);
  await stream.next();
  const waiting = stream.next();
  w.gone.abort();
  expect(await waiting).toMatchObject({ done: true });
  expect(w.stops()).toBeGreaterThan(0);
});

test('a final status ends the stream also of a client that claims to have seen more', async () => {
  const w = world();
  const stream = await watching(w, 99, pending);
  w.signal(update(2, 'REJECTED'));
  expect(await taken(stream)).toEqual(['end']);
});

test('a row that could not be found once does not stop the stream for good', async () => {
  const w = world();
  const stream = await watching(w, undefined, pending);
  w.signal('look');
  await w.answer(1);
  await new Promise((resolve) => setImmediate(resolve));
  w.signal(review);
  expect(await taken(stream)).toEqual([1, 2]);
});

test('nothing that is signalled before the first read is passed on: only that read tells who may see it', async () => {
  for (const [after, signalled] of [
    [1, review],
    [2, approved],
    [9, approved],
  ] as const) {
    const w = world({ confirmed: false });
    const stream = watchApplication(w.deps, applicationId, after, w.gone.signal);
    w.signal(signalled);
    w.confirmation.resolve();
    await vi.waitFor(() => expect(w.reads).toHaveLength(1), 10_000);
    w.signal(signalled);
    await w.answer(0);
    await expect(stream, `${after}`).rejects.toMatchObject({ code: 'NOT_FOUND' });
  }
});
