import { setTimeout as delay } from 'node:timers/promises';
import { attemptsSubject } from '@prequal/schema';
import { backoffMs } from '@prequal/service';
import { z } from 'zod';
import { type Broker, BrokerAwayError } from './connect.ts';
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

/**
 * The notes of one durable consumer, kept in the stream LOAN_ATTEMPTS under the message's id. The broker's
 * own count of deliveries cannot serve: it grows in outages and at every stop of a worker.
 * Reading and writing throw `BrokerAwayError` when it cannot be done now.
 */
export function attemptNotes(broker: Broker, consumer: string, isStopping: () => boolean) {
  /** what is to stand there once it can be written: NATS went away in the middle of a try that does not count */
  const owed = new Map<string, AttemptNotes>();

  async function write(messageId: string, next: AttemptNotes): Promise<void> {
    const subject = attemptsSubject(consumer, messageId);
    try {
      await broker.connectedJetStream().publish(subject, JSON.stringify(next), { timeout: timeoutMs });
    } catch (error) {
      throw new BrokerAwayError('the notes on a message cannot be written', { cause: error });
    }
    owed.delete(messageId);
  }

  async function writeOwed(messageId: string): Promise<void> {
    for (let attempt = 1; owed.has(messageId) && !isStopping(); attempt += 1) {
      await delay(backoffMs(attempt, retry), undefined, { ref: false });
      const before = owed.get(messageId);
      if (before) await write(messageId, before).catch(() => undefined);
    }
  }

  return {
    read: async (messageId: string): Promise<FoundNotes> => {
      const before = owed.get(messageId);
      if (before) return { notes: before, ageMs: longAgo };
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
    write,
    /** Puts back what was noted before a try that does not count: now, or as soon as NATS takes it. */
    restore: async (messageId: string, before: AttemptNotes): Promise<void> => {
      owed.set(messageId, before);
      await write(messageId, before).catch(() => void writeOwed(messageId));
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
  };
}
