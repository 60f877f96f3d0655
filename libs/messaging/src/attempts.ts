import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { attemptsSubject } from '@prequal/schema';
import { backoffMs } from '@prequal/service';
import { NatsError } from 'nats';
import { z } from 'zod';
import { type Broker, BrokerAwayError, stopFlushMs } from './connect.ts';
import { isNotFound } from './provision.ts';

const notes = z.object({
  /** handlings that began and were not heard of again: their process ended, or blocked until another got the message */
  unfinished: z.int().min(0),
  /** handlings that ended with an error that was the message's or the handler's own */
  failures: z.int().min(0),
});

/** What all workers together know of a message that was not handled at its first delivery. */
export type AttemptNotes = z.output<typeof notes>;

/** Notes as they were found, and how long ago they were written; a note that nobody wrote is as old as can be. */
export type FoundNotes = { notes: AttemptNotes; ageMs: number };

const none: AttemptNotes = { unfinished: 0, failures: 0 };
const longAgo = Number.POSITIVE_INFINITY;
const timeoutMs = 5_000;
// Soon enough: what was not settled in an outage comes again only after the acknowledgement wait.
const retry = { baseMs: 100, maxMs: 1_000 };

/** Notes that are to stand in the place of those with this sequence number in the stream. */
type Owed = { notes: AttemptNotes; insteadOf: number };

/**
 * The notes of one durable consumer, kept in the stream LOAN_ATTEMPTS under the message's id. The broker's
 * own count of deliveries cannot serve: it grows in outages and at every stop of a worker.
 * Reading and writing throw `BrokerAwayError` when it cannot be done now. Disposing tries once more to write what is
 * owed, for a second at most.
 */
export function attemptNotes(broker: Broker, consumer: string, isStopping: () => boolean) {
  /** what is to stand there once it can be written: NATS went away in the middle of a try that does not count */
  const owed = new Map<string, Owed>();
  /** the ids for which a loop is at it */
  const paying = new Set<string>();

  async function publish(messageId: string, next: AttemptNotes, expect: { lastSubjectSequence?: number }) {
    const subject = attemptsSubject(consumer, messageId);
    return broker.connectedJetStream().publish(subject, JSON.stringify(next), { timeout: timeoutMs, expect });
  }

  /** One try. Never overwrites newer notes, of whichever worker: the broker refuses what stands in their place. */
  async function pay(messageId: string): Promise<void> {
    const debt = owed.get(messageId);
    if (!debt) return;
    try {
      await publish(messageId, debt.notes, { lastSubjectSequence: debt.insteadOf });
    } catch (error) {
      if (!isOutdated(error)) return;
    }
    if (owed.get(messageId) === debt) owed.delete(messageId);
  }

  async function keepPaying(messageId: string): Promise<void> {
    if (paying.has(messageId)) return;
    paying.add(messageId);
    for (let attempt = 1; owed.has(messageId) && !isStopping(); attempt += 1) {
      await delay(backoffMs(attempt, retry), undefined, { ref: false });
      await pay(messageId);
    }
    paying.delete(messageId);
  }

  return {
    read: async (messageId: string): Promise<FoundNotes> => {
      const before = owed.get(messageId);
      if (before) return { notes: before.notes, ageMs: longAgo };
      try {
        const { jsm } = await broker.jetStream();
        const subject = attemptsSubject(consumer, messageId);
        const stored = await jsm.streams.getMessage('LOAN_ATTEMPTS', { last_by_subj: subject });
        return { notes: notes.parse(stored.json()), ageMs: Date.now() - stored.time.getTime() };
      } catch (error) {
        if (isNotFound(error)) return { notes: none, ageMs: longAgo };
        throw new BrokerAwayError('the notes on a message cannot be read', { cause: error });
      }
    },
    /** Answers the sequence number of the notes, for `restore`. */
    write: async (messageId: string, next: AttemptNotes): Promise<number> => {
      try {
        const { seq } = await publish(messageId, next, {});
        owed.delete(messageId);
        return seq;
      } catch (error) {
        throw new BrokerAwayError('the notes on a message cannot be written', { cause: error });
      }
    },
    /**
     * Puts back what was noted before a try that does not count, in the place of what was noted for it: now, or as
     * soon as NATS takes it. When there are newer notes by then, these stay.
     */
    restore: async (messageId: string, before: AttemptNotes, insteadOf: number): Promise<void> => {
      owed.set(messageId, { notes: before, insteadOf });
      await pay(messageId);
      void keepPaying(messageId);
    },
    /** A note that stays is found by nobody: the message is settled. So this one may fail. */
    forget: async (messageId: string): Promise<void> => {
      owed.delete(messageId);
      try {
        const { jsm } = await broker.jetStream();
        await jsm.streams.purge('LOAN_ATTEMPTS', { filter: attemptsSubject(consumer, messageId) });
      } catch {
        // It goes with its age.
      }
    },
    [Symbol.asyncDispose]: async (): Promise<void> => {
      const over = AbortSignal.timeout(stopFlushMs);
      const late = once(over, 'abort');
      while (owed.size > 0 && !over.aborted) {
        await Promise.race([Promise.all([...owed.keys()].map(pay)), late]);
        if (owed.size > 0) await delay(retry.baseMs, undefined, { signal: over }).catch(() => undefined);
      }
    },
  };
}

/** Others stand there than those that were to be replaced. */
function isOutdated(error: unknown): boolean {
  return error instanceof NatsError && error.api_error?.err_code === 10_071;
}
