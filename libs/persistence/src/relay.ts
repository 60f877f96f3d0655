import { setTimeout as delay } from 'node:timers/promises';
import { type EventName, events } from '@prequal/schema';
import { Counter, gaugeOf, inBatches, type Logger, type Registry, Slots } from '@prequal/service';
import { type Database, inTransaction, sql } from './database.ts';

/** A row of the outbox: an event that is committed and not yet known to be in its stream. */
export type OutboxMessage = {
  id: string;
  subject: string;
  message: string;
  /** for the headers, when whoever wrote the row publishes it as well: then the message need not be read for it */
  trace?: { correlationid: string; traceparent: string };
};

export type RelayOptions = {
  database: Database;
  /** The events to publish; what is in the outbox for others is left to them. */
  publishes: readonly EventName[];
  /** Resolves once the broker has stored the message. */
  publish: (message: OutboxMessage) => Promise<void>;
  isBrokerConnected: () => boolean;
  log: Logger;
  metrics: Registry;
  /** about how often it looks by itself for what was left behind; 1 s by default */
  sweepIntervalMs?: number;
};

/** Moves committed events from the outbox to the broker. */
export type Relay = AsyncDisposable & {
  /**
   * Publishes what was just committed, at once and without making the caller wait. Whatever fails, or
   * is too much at a time, stays in the outbox for the sweeper.
   */
  send: (messages: readonly OutboxMessage[]) => void;
  /** Looks now for what a crash or an outage left behind, e.g. because the broker is back. */
  sweep: () => void;
};

/** most messages published directly and not yet acknowledged; beyond it the sweeper takes over */
const maxInFlight = 2_000;
/** younger rows are in the hands of whoever wrote them */
const graceMs = 2_000;
const sweepBatch = 500;
const lowestId = '00000000-0000-0000-0000-000000000000';

export function createRelay(options: RelayOptions): Relay {
  const { database, publishes, publish, isBrokerConnected, log, metrics, sweepIntervalMs = 1_000 } = options;
  const ours = publishes.map((name) => `${events[name].subjectPrefix}.%`);
  const published = new Counter({
    name: 'prequal_outbox_published_total',
    help: 'Events published from the outbox, by way: at once after commit, or found by the sweeper',
    labelNames: ['way'],
    registers: [metrics],
  });
  gaugeOf(
    metrics,
    { name: 'prequal_outbox_in_flight', help: 'Events published and not yet acknowledged by the broker' },
    () => inFlight.size,
  );
  gaugeOf(
    metrics,
    { name: 'prequal_outbox_oldest_seconds', help: 'Age of the oldest event in the outbox; 0 when it is empty' },
    async () => {
      const { rows } = await sql<{ age: number }>`
        select coalesce(extract(epoch from now() - min(created_at)), 0)::float8 as age from outbox
        where subject like any(${ours}::text[])`.execute(database.sql());
      return rows[0]?.age ?? 0;
    },
  );
  const inFlight = new Slots<Promise<void>>();
  const stopping = new AbortController();
  let wake = new AbortController();

  const remove = inBatches<string, undefined>(
    async (ids) => {
      await sql`delete from outbox where id = any(${ids}::uuid[])`.execute(database.sql());
      return ids.map(() => undefined);
    },
    // Nobody waits for it: a moment gathers many rows into one round trip and one commit.
    { maxItems: 500, maxConcurrent: 1, lingerMs: 200 },
  );

  /** Answers its id; undefined when it is left to the sweeper. */
  async function publishOne(message: OutboxMessage): Promise<string | undefined> {
    try {
      await publish(message);
      published.inc({ way: 'direct' });
      return message.id;
    } catch (error) {
      log.debug({ err: error, subject: message.subject }, 'left in the outbox for the sweeper');
      return undefined;
    }
  }

  /** Apart from its publication, so that nothing keeps the message while its row waits with others. */
  async function removeOne(id: string | undefined): Promise<void> {
    if (id === undefined) return;
    await remove(id).catch((error: unknown) => log.debug({ err: error }, 'published, and left to the sweeper as well'));
  }

  /**
   * One batch of rows beyond `after`; answers its last id when there may be more. Goes past rows that the
   * broker refuses, so that they hold up no others; other sweepers skip the rows that this one has locked.
   */
  async function sweepOnce(after: string): Promise<string | undefined> {
    return inTransaction(database, async (within) => {
      const { rows } = await sql<OutboxMessage>`
        select id, subject, message from outbox
        where created_at < now() - ${graceMs} * interval '1 millisecond' and id > ${after}::uuid
          and subject like any(${ours}::text[])
        order by id limit ${sweepBatch} for update skip locked`.execute(within.sql());
      const outcomes = await Promise.allSettled(rows.map((row) => publish(row)));
      const done = rows.filter((_, index) => outcomes[index]?.status === 'fulfilled').map((row) => row.id);
      if (done.length > 0) await sql`delete from outbox where id = any(${done}::uuid[])`.execute(within.sql());
      if (rows.length > 0) log.info({ found: rows.length, published: done.length }, 'outbox swept');
      published.inc({ way: 'sweeper' }, done.length);
      return rows.length === sweepBatch ? rows.at(-1)?.id : undefined;
    });
  }

  async function sweepForever(): Promise<void> {
    while (!stopping.signal.aborted) {
      wake = new AbortController();
      try {
        let after: string | undefined = lowestId;
        while (after !== undefined && isBrokerConnected() && !stopping.signal.aborted) after = await sweepOnce(after);
      } catch (error) {
        log.warn({ err: error }, 'outbox sweep failed, will be tried again');
      }
      const jittered = sweepIntervalMs * (0.5 + Math.random());
      await delay(jittered, undefined, { signal: AbortSignal.any([stopping.signal, wake.signal]) }).catch(
        () => undefined,
      );
    }
  }
  const sweeping = sweepForever();

  return {
    send: (messages) => {
      if (!isBrokerConnected()) return;
      for (const message of messages.slice(0, Math.max(0, maxInFlight - inFlight.size))) {
        const sent = publishOne(message).then(removeOne);
        const place = inFlight.add(sent);
        void sent.finally(() => inFlight.letGo(place));
      }
    },
    sweep: () => wake.abort(),
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await Promise.all([sweeping, ...inFlight]);
    },
  };
}
