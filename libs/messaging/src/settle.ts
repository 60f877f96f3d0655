import { InvalidEventError } from '@prequal/schema';
import { inBatches, type Logger } from '@prequal/service';
import type { JsMsg } from 'nats';
import { type AttemptNotes, attemptNotes } from './attempts.ts';
import { type Broker, BrokerAwayError } from './connect.ts';
import { type DeadLetterCause, deadLetter, identityOf } from './dead-letter.ts';
import { classOf, describeFailure, jittered, type retryTable } from './failures.ts';
import { createOneAlone } from './one-alone.ts';

/** What became of a delivery. */
export type Outcome =
  | 'handled'
  | 'dead_lettered'
  /** it failed and will be delivered again after a wait */
  | 'retried'
  /** a server is away: kept, and not counted */
  | 'put_off'
  /** the worker stops and had not begun */
  | 'handed_back'
  /** the worker was not heard of for so long that another has the message now */
  | 'late';

/** A delivery in hand. */
export type Held = {
  message: JsMsg;
  /** false once the broker has given it to another worker */
  isOurs: () => boolean;
  /** it goes to its handler now */
  begin: () => void;
};

export type SettleDeps<Item> = {
  broker: Broker;
  /** the durable consumer */
  consumer: string;
  log: Logger;
  /** The message's content, and its event's id if it has one. Throws `InvalidEventError`. */
  read: (message: JsMsg) => { eventId: string | undefined; item: Item };
  /** Throws `HandedBackError` for what it has not begun when the worker stops. */
  handle: (item: Item) => Promise<unknown>;
  isOutage: (error: unknown) => boolean;
  isStopping: () => boolean;
  /** before a message that was put off is delivered again */
  outageDelayMs: () => number;
  retries: ReturnType<typeof retryTable>;
  /** a message whose worker has not been heard of for this long is given to another */
  ackWaitMs: number;
  /** false: what cannot be handled is tried again for ever, as for dead letters themselves */
  givesUp: boolean;
};

export class HandedBackError extends Error {
  override readonly name = 'HandedBackError';
}

type Known<Item> = Held & { identity: string; item: Item; notes: AttemptNotes };

function isFirst(message: JsMsg): boolean {
  return message.info.deliveryCount === 1;
}

const unnoted: AttemptNotes = { unfinished: 0, failures: 0 };

/**
 * Settles one delivery and tells how: acknowledged after the handler's effect is durable, retried, put off
 * or dead-lettered. Never throws. Disposing writes what notes are owed, when all deliveries are settled.
 *
 * A message that comes again may have ended or blocked the process that had it, so from then on it is noted
 * before it is handled. Such a process leaves notes on all it had in hand; these are handled one at a time,
 * until only the culprit is still noted. New messages are handled beside them and may be culprits too, so each
 * has its last try with nothing beside it: whatever happens then is its own doing.
 */
export function createSettle<Item>(deps: SettleDeps<Item>): ((held: Held) => Promise<Outcome>) & AsyncDisposable {
  const { broker, consumer, log, retries } = deps;
  const attempts = attemptNotes(broker, consumer, deps.isStopping);
  const limit = retries.HANDLER_UNFINISHED.length;
  // A process that ended leaves a note that is older when its message comes again.
  const lastTryMs = 0.9 * deps.ackWaitMs;
  const handling = createOneAlone();
  const suspected = inBatches<Known<Item>, Outcome>(async ([known]) => (known ? [await handleSuspect(known)] : []), {
    maxItems: 1,
    maxConcurrent: 1,
  });

  async function settle(held: Held): Promise<Outcome> {
    const { message } = held;
    let read: ReturnType<typeof deps.read>;
    try {
      read = deps.read(message);
    } catch (error) {
      if (!(error instanceof InvalidEventError)) throw error;
      return giveUp(held, identityOf(message, undefined), { errorClass: 'INVALID_MESSAGE', error: error.message });
    }
    const known = { ...held, item: read.item, identity: identityOf(message, read.eventId), notes: unnoted };
    return isFirst(message) ? handling.beside(() => handle(known)) : settleAgain(known);
  }

  async function settleAgain(known: Known<Item>): Promise<Outcome> {
    const { notes, ageMs } = await attempts.read(known.identity);
    // A later delivery of it is here already: were this one given up, that one would find no notes and begin anew.
    if (!known.isOurs()) return 'late';
    if (notes.unfinished >= limit && deps.givesUp) {
      // A copy of it is perhaps being handled just now, by us or by another worker: then this one must not be its end.
      if (ageMs < lastTryMs) {
        known.message.nak(Math.min(lastTryMs, lastTryMs - ageMs));
        return 'retried';
      }
      const error = `its handler ended or blocked the process ${limit} times`;
      return giveUp(known, known.identity, { errorClass: 'HANDLER_UNFINISHED', error });
    }
    const noted = { ...known, notes };
    return notes.unfinished === 0 ? handling.beside(() => noteAndHandle(noted)) : suspected(noted);
  }

  function handleSuspect(known: Known<Item>): Promise<Outcome> {
    const isLastTry = known.notes.unfinished === limit - 1;
    return handling[isLastTry ? 'alone' : 'beside'](() => noteAndHandle(known));
  }

  async function noteAndHandle(known: Known<Item>): Promise<Outcome> {
    if (deps.isStopping()) throw new HandedBackError();
    // It waited behind one that blocked the process, and must not be blamed for that.
    if (!known.isOurs()) return 'late';
    const { notes } = known;
    const noted = await attempts.write(known.identity, { ...notes, unfinished: notes.unfinished + 1 });
    try {
      return await handle(known);
    } catch (error) {
      // As it was before: this try does not count, whether its handler met the outage or what came after it.
      if (isNobodysFault(error)) await attempts.restore(known.identity, notes, noted);
      throw error;
    }
  }

  async function handle(known: Known<Item>): Promise<Outcome> {
    const { message, identity } = known;
    if (!known.isOurs()) return 'late';
    known.begin();
    try {
      await deps.handle(known.item);
    } catch (error) {
      return afterFailure(known, error);
    }
    // The note that it did not finish stays: it took the process from all others for too long.
    if (!known.isOurs()) return 'late';
    if (!isFirst(message)) await attempts.forget(identity);
    message.ack();
    return 'handled';
  }

  async function afterFailure(known: Known<Item>, error: unknown): Promise<Outcome> {
    const { message, identity, notes } = known;
    if (!known.isOurs()) return 'late';
    if (isNobodysFault(error)) throw error;
    const failures = notes.failures + 1;
    const errorClass = classOf(error);
    const delays = retries[errorClass];
    const delayMs = delays[failures - 1] ?? (deps.givesUp ? undefined : delays.at(-1));
    if (delayMs === undefined) return giveUp(known, identity, { errorClass, error: describeFailure(error) });
    await attempts.write(identity, { ...notes, failures });
    log.warn({ err: error, subject: message.subject, attempt: failures, delayMs }, 'message will be tried again');
    message.nak(jittered(delayMs));
    return 'retried';
  }

  async function giveUp({ message }: Held, identity: string, cause: DeadLetterCause): Promise<Outcome> {
    await deadLetter(broker, consumer, message, identity, cause);
    if (!isFirst(message)) await attempts.forget(identity);
    log.error(
      { subject: message.subject, errorClass: cause.errorClass, problem: cause.error },
      'message dead-lettered',
    );
    return 'dead_lettered';
  }

  function isNobodysFault(error: unknown): boolean {
    return error instanceof HandedBackError || error instanceof BrokerAwayError || deps.isOutage(error);
  }

  const settled = async (held: Held): Promise<Outcome> => {
    try {
      return await settle(held);
    } catch (error) {
      if (error instanceof HandedBackError) {
        held.message.nak();
        return 'handed_back';
      }
      const delayMs = deps.outageDelayMs();
      if (!isNobodysFault(error)) {
        // Our own: it stays noted as unfinished, so it ends as a dead letter, and no other message waits for it.
        log.error({ err: error, subject: held.message.subject, delayMs }, 'message could not be settled');
        held.message.nak(delayMs);
        return 'retried';
      }
      log.warn({ err: error, subject: held.message.subject, delayMs }, 'message put off');
      held.message.nak(delayMs);
      return 'put_off';
    }
  };
  return Object.assign(settled, { [Symbol.asyncDispose]: () => attempts[Symbol.asyncDispose]() });
}
