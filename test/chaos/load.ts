import { setTimeout as delay } from 'node:timers/promises';
import { applicants, type Deed } from './applicants.ts';
import type { History } from './history.ts';
import { seeded } from './random.ts';
import { type Submission, submitOtherInput, submitUntilAcknowledged } from './submit.ts';
import { type Watcher, watchOverSse, watchOverWebSocket, webSocketClient } from './watch.ts';

/** Clients that submit and watch, and all that they were told. */
export type Load = AsyncDisposable & {
  submissions: Submission[];
  watchers: Watcher[];
  /** Submits at the rate until the signal fires; what is under way then goes on. */
  run: (until: AbortSignal) => Promise<void>;
  /** One application on which a handler fails, and one who watches it. */
  submitMarked: (deed: Deed) => void;
  unacknowledged: () => Submission[];
  /** applicants who are not done yet: they send, or will begin to watch */
  underWayCount: () => number;
  /** All watchers go. */
  leave: () => Promise<void>;
};

export type LoadOptions = { seed: number; rate: number; gatewayUrls: string[]; history: History };

const socketCount = 12;
const leaveLimitMs = 5_000;
const shares = { doubleClick: 0.05, otherInput: 0.03, sse: 0.2, stays: 0.5, late: 0.2, noAfter: 0.3 };

export function createLoad({ seed, rate, gatewayUrls, history }: LoadOptions): Load {
  const random = seeded(seed);
  const next = applicants(seed);
  const submissions: Submission[] = [];
  const watchers: Watcher[] = [];
  const leaves = new Map<Watcher, { leave: () => void; done: Promise<void> }>();
  const stopped = new AbortController();
  const gatewayUrl = () => random.pick(gatewayUrls);
  const deps = { history, gatewayUrl, stopped: stopped.signal };
  const clients = Array.from({ length: socketCount }, () => webSocketClient(gatewayUrl));
  const underWay = new Set<Promise<void>>();

  function watch(id: string): void {
    const watcher: Watcher = {
      id,
      transport: random.chance(shares.sse) ? 'sse' : 'ws',
      after: random.chance(shares.noAfter) ? undefined : random.int(0, 1),
      updates: [],
      end: 'open',
    };
    watchers.push(watcher);
    const watching =
      watcher.transport === 'sse'
        ? watchOverSse(gatewayUrl, watcher, history)
        : watchOverWebSocket(random.pick(clients), watcher, history);
    leaves.set(watcher, watching);
    void watching.done.then(() => leaves.delete(watcher));
  }

  async function applicant(deed: Deed | undefined): Promise<void> {
    const submission: Submission = { input: next.next(deed), deed, attempts: 0, acknowledged: [], wrongAnswers: [] };
    submissions.push(submission);
    const [twice, otherwise, late] = [shares.doubleClick, shares.otherInput, shares.late].map(random.chance);
    const lateMs = late ? random.int(1, 1_500) : 0;
    const first = submitUntilAcknowledged(deps, submission);
    const second = twice ? submitUntilAcknowledged(deps, submission) : undefined;
    const id = await first;
    if (id === undefined) return;
    if (lateMs > 0) await delay(lateMs);
    watch(id);
    if (otherwise) await submitOtherInput(deps, submission);
    await second;
  }

  function begin(deed?: Deed): void {
    const one = applicant(deed);
    underWay.add(one);
    void one.finally(() => underWay.delete(one));
  }

  return {
    submissions,
    watchers,
    run: async (until) => {
      const startedAt = performance.now();
      for (let index = 0; !until.aborted; index += 1) {
        const waitMs = startedAt + (index * 1_000) / rate - performance.now();
        if (waitMs > 1) await delay(waitMs, undefined, { signal: until }).catch(() => undefined);
        if (!until.aborted) begin();
      }
    },
    submitMarked: begin,
    unacknowledged: () => submissions.filter(({ acknowledged }) => acknowledged.length === 0),
    underWayCount: () => underWay.size,
    leave: async () => {
      const going = [...leaves.values()];
      for (const { leave } of going) leave();
      // One whose connection is stuck goes when that is found out; nobody has to wait for it.
      await Promise.race([Promise.all(going.map(({ done }) => done)), delay(leaveLimitMs)]);
    },
    [Symbol.asyncDispose]: async () => {
      stopped.abort();
      for (const { leave } of leaves.values()) leave();
      await Promise.all(underWay);
      for (const { leave } of leaves.values()) leave();
      for (const client of clients) client.terminate();
      for (const client of clients) await client.dispose();
    },
  };
}
