import { attemptsSubject } from '@prequal/schema';
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

const none: AttemptNotes = { unfinished: 0, failures: 0 };
const timeoutMs = 5_000;

/**
 * The notes of one durable consumer, kept in the stream LOAN_ATTEMPTS under the message's id. The broker's
 * own count of deliveries cannot serve: it grows in outages and at every stop of a worker.
 * Everything here throws `BrokerAwayError` when it cannot be done now.
 */
export function attemptNotes(broker: Broker, consumer: string) {
  return {
    read: async (messageId: string): Promise<AttemptNotes> => {
      try {
        const { jsm } = await broker.jetStream();
        const subject = attemptsSubject(consumer, messageId);
        const stored = await jsm.streams.getMessage('LOAN_ATTEMPTS', { last_by_subj: subject });
        return notes.parse(stored.json());
      } catch (error) {
        if (isNotFound(error)) return none;
        throw new BrokerAwayError('the notes on a message cannot be read', { cause: error });
      }
    },
    write: async (messageId: string, next: AttemptNotes): Promise<void> => {
      const subject = attemptsSubject(consumer, messageId);
      try {
        await broker.connectedJetStream().publish(subject, JSON.stringify(next), { timeout: timeoutMs });
      } catch (error) {
        throw new BrokerAwayError('the notes on a message cannot be written', { cause: error });
      }
    },
    /** A note that stays is found by nobody: the message is settled. So this one may fail. */
    forget: async (messageId: string): Promise<void> => {
      try {
        const { jsm } = await broker.jetStream();
        await jsm.streams.purge('LOAN_ATTEMPTS', { filter: attemptsSubject(consumer, messageId) });
      } catch {
        // It goes with its age.
      }
    },
  };
}
