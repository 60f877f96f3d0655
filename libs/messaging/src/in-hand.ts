import { Slots } from '@prequal/service';
import type { JsMsg } from 'nats';
import type { Held } from './settle.ts';

/** The deliveries that a consumer has taken and not yet settled. */
export type InHand = AsyncDisposable & {
  /** Settles a delivery; it is in hand until then. */
  hold: <Outcome>(message: JsMsg, settle: (held: Held) => Promise<Outcome>) => Promise<Outcome>;
  /** How many more there may be of `max`; waits until that is worth asking the broker for. */
  room: (max: number) => Promise<number>;
};

type Lease = { message: JsMsg; handledSince: number; until: number };

/**
 * A delivery in hand stays ours as long as this process turns its event loop: the broker is told so three
 * times in each `ackWaitMs`. After a longer silence the broker has given it to another worker. A handler that has been
 * at one for longer than `handlingMaxMs` will never end: nobody catches the error that is thrown then, so that the
 * process ends, as `run` says, and its messages are isolated. Disposing waits until all are settled.
 */
export function createInHand(ackWaitMs: number, handlingMaxMs: number): InHand {
  const leases = new Slots<Lease>();
  let settledOne = Promise.withResolvers<void>();

  const heartbeat = setInterval(() => {
    const now = performance.now();
    for (const lease of leases) {
      if (now - lease.handledSince > handlingMaxMs) {
        throw new Error(`a message on ${lease.message.subject} was not handled in ${handlingMaxMs / 1_000} s`);
      }
      if (now >= lease.until) continue;
      lease.message.working();
      lease.until = now + ackWaitMs;
    }
  }, ackWaitMs / 3);

  async function untilAtMost(count: number): Promise<void> {
    while (leases.size > count) await settledOne.promise;
  }

  return {
    hold: async (message, settle) => {
      const lease = { message, handledSince: Number.POSITIVE_INFINITY, until: performance.now() + ackWaitMs };
      const place = leases.add(lease);
      try {
        return await settle({
          message,
          isOurs: () => performance.now() < lease.until,
          begin: () => void (lease.handledSince = performance.now()),
        });
      } finally {
        leases.letGo(place);
        settledOne.resolve();
        settledOne = Promise.withResolvers();
      }
    },
    room: async (max) => {
      await untilAtMost(Math.floor(max * 0.75));
      return Math.max(1, max - leases.size);
    },
    [Symbol.asyncDispose]: async () => {
      await untilAtMost(0);
      clearInterval(heartbeat);
    },
  };
}
