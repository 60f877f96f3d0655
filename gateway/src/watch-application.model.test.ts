import { type ApplicationStatus, isFinal, type StatusUpdate } from '@prequal/schema';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Signal } from './status-feed.ts';
import { watchApplication } from './watch-application.ts';

const applicationId = '01890000-0000-7000-8000-000000000001';

const histories: ApplicationStatus[][] = [
  ['PENDING', 'PRE_APPROVED'],
  ['PENDING', 'MANUAL_REVIEW'],
  ['PENDING', 'MANUAL_REVIEW', 'REJECTED'],
];

type Happening = 'commit' | 'disconnect' | 'reconnect' | 'duplicate';

const plan = fc.record({
  history: fc.constantFrom(...histories),
  committedBefore: fc.nat({ max: 3 }),
  after: fc.option(fc.nat({ max: 2 }), { nil: undefined }),
  happenings: fc.array(fc.constantFrom<Happening>('commit', 'commit', 'disconnect', 'reconnect', 'duplicate'), {
    maxLength: 6,
  }),
  /** how much else may come between a read and its answer */
  slowness: fc.nat({ max: 6 }),
  failingReads: fc.array(fc.boolean(), { maxLength: 3 }),
  connected: fc.boolean(),
});

type Plan = typeof plan extends fc.Arbitrary<infer Value> ? Value : never;

/**
 * PostgreSQL and NATS as a watcher meets them: a read sees what is committed when the database gets to it
 * and is answered later; a change is published some time after its commit, reaches who is subscribed at
 * that moment, later, in order, and is lost for all others. The scheduler decides when each of these is.
 */
function modelOf(
  s: fc.Scheduler,
  { history, committedBefore, failingReads, slowness, connected: connectedAtFirst }: Plan,
) {
  const updates = history.map(
    (status, index): StatusUpdate => ({
      applicationId,
      version: index + 1,
      status,
      occurredAt: new Date(0),
      cibilScore: null,
      reasons: [],
    }),
  );
  let committed = Math.min(Math.max(committedBefore, 1), updates.length);
  let connection = 1;
  let connected = connectedAtFirst;
  /** the connection on which the server knows the subscription */
  let subscribedOn: number | undefined;
  let watching = false;
  let listener: (signal: Signal) => void = () => undefined;
  let delivery: Promise<unknown> = Promise.resolve();
  const reads = [...failingReads];
  const step = (label: string) => s.schedule(Promise.resolve(), label);

  function publish(update: StatusUpdate): void {
    void step(`publish ${update.version}`).then(() => {
      if (!connected || subscribedOn !== connection) return;
      const sentOn = connection;
      // One connection delivers in order.
      delivery = Promise.all([delivery, step(`deliver ${update.version}`)]).then(() => {
        if (sentOn === connection && connected) listener(update);
      });
    });
  }

  function connect(): void {
    connected = true;
    connection += 1;
    if (!watching) return;
    const here = connection;
    void step('subscribe again').then(() => {
      if (here !== connection || !connected) return;
      subscribedOn = connection;
      void step('look').then(() => listener('look'));
    });
  }

  const deeds: Record<Happening, () => void> = {
    commit: () => {
      const update = updates[committed];
      if (!update) return;
      committed += 1;
      publish(update);
    },
    duplicate: () => publish(updates[committed - 1] as StatusUpdate),
    disconnect: () => {
      connected = false;
    },
    reconnect: () => {
      if (!connected) connect();
    },
  };

  return {
    deeds,
    known: () => updates.slice(0, committed),
    heal: () => {
      if (!connected) connect();
    },
    deps: {
      feed: {
        watch: (_id: string, onSignal: (signal: Signal) => void) => {
          listener = onSignal;
          watching = true;
          const here = connection;
          const subscribed = step('subscribe').then(() => {
            if (connected && here === connection) subscribedOn = connection;
          });
          return {
            subscribed: subscribed.then(() => step('confirm')),
            stop: () => {
              watching = false;
              listener = () => undefined;
            },
          };
        },
      },
      readStatus: async ({ after }: { after: number | undefined }) => {
        const fails = reads.shift() ?? false;
        await step('read');
        const seen = updates.slice(0, committed);
        for (let steps = 0; steps <= slowness; steps += 1) await step('the answer is on its way');
        if (fails) throw new Error('the database is away');
        return {
          updates: after === undefined ? seen.slice(-1) : seen.filter(({ version }) => version > after),
          final: isFinal(seen.at(-1)?.status ?? 'PENDING'),
        };
      },
      pause: () => step('pause'),
    },
  };
}

test('whatever comes between whatever, a watcher sees every version once, in order, to the end', async () => {
  await fc.assert(
    fc.asyncProperty(plan, fc.scheduler(), async (chosen, s) => {
      const model = modelOf(s, chosen);
      const seen: StatusUpdate[] = [];
      let ended = false;
      const watcher = (async () => {
        const gone = new AbortController();
        for await (const update of await watchApplication(model.deps, applicationId, chosen.after, gone.signal)) {
          seen.push(update);
        }
        ended = true;
      })();
      for (const happening of chosen.happenings) {
        void s.schedule(Promise.resolve(), happening).then(model.deeds[happening]);
      }
      await s.waitIdle();
      model.heal();
      await s.waitIdle();

      const known = model.known();
      const latest = known.at(-1) as StatusUpdate;
      const first = chosen.after === undefined ? (seen[0]?.version ?? Number.NaN) : chosen.after + 1;
      expect(seen).toEqual(known.filter(({ version }) => version >= first));
      if (chosen.after === undefined) expect(seen).not.toHaveLength(0);
      expect(ended).toBe(isFinal(latest.status));
      if (ended) await watcher;
    }),
    { numRuns: 2_000 },
  );
});
