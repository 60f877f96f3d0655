import type { LoanType } from '@prequal/schema';
import { Counter, type Logger, type Registry, repeatedly } from '@prequal/service';
import { type Database, inTransaction, sql } from './database.ts';
import type { OutboxMessage, Relay } from './relay.ts';

/** An application that waits for a decision which no message will bring, with all its message is made of. */
export type Stranded = {
  id: string;
  /** id of the event in the history that says it was submitted */
  eventId: string;
  panCiphertext: Buffer;
  monthlyIncomeInr: string;
  loanAmountInr: string;
  loanType: LoanType;
  correlationId: string;
  createdAt: string;
};

export type ReconcilerOptions = {
  database: Database;
  relay: Pick<Relay, 'send'>;
  /** The message that brings it into the pipeline again, under a new message id. */
  toMessage: (application: Stranded) => OutboxMessage;
  /** an application that is PENDING for longer, and not in the outbox, is stranded */
  afterMs: number;
  log: Logger;
  metrics: Registry;
};

/** most applications given back in one transaction */
const batch = 500;
const longestMs = 24 * 60 * 60 * 1_000;
// Any constant will do, as long as it is nobody else's.
const lockId = 7_737_826;

/**
 * PostgreSQL is the truth: when the streams have lost a message (a store was wiped, a stream deleted), its
 * application is still PENDING here, and gets a new one. The next time comes later, each time twice as
 * late, since most often the first message is only waiting somewhere. One process does it at a time.
 */
export function startReconciler(options: ReconcilerOptions): AsyncDisposable {
  const { database, relay, afterMs, log, metrics } = options;
  const reconciled = new Counter({
    name: 'prequal_reconciled_total',
    help: 'PENDING applications that were given back to the queue because no message was known to be under way',
    registers: [metrics],
  });

  async function reconcile(): Promise<number> {
    const messages = await inTransaction(database, async (within) => {
      const { rows: locked } = await sql<{ ours: boolean }>`
          select pg_try_advisory_xact_lock(${lockId}) as ours`.execute(within.sql());
      if (locked[0]?.ours !== true) return [];
      const { rows } = await sql<Stranded>`
          select a.id, e.id as "eventId", a.pan_ciphertext as "panCiphertext", a.correlation_id as "correlationId",
            a.monthly_income_inr as "monthlyIncomeInr", a.loan_amount_inr as "loanAmountInr", a.loan_type as "loanType",
            a.created_at as "createdAt"
          from applications a
          join application_events e on e.application_id = a.id and e.version = 1
          left join reconciliations r on r.application_id = a.id
          where a.status = 'PENDING' and a.created_at < now() - ${afterMs} * interval '1 millisecond'
            and (r.next_at is null or r.next_at < now())
            and not exists (select 1 from outbox o where o.application_id = a.id)
          order by a.created_at limit ${batch} for update of a skip locked`.execute(within.sql());
      if (rows.length === 0) return [];
      const sent = rows.map((row) => options.toMessage(row));
      const ids = rows.map((row) => row.id);
      await sql`
          with queued as (
            insert into outbox (id, application_id, subject, message)
            select * from unnest(${sent.map(({ id }) => id)}::uuid[], ${ids}::uuid[],
              ${sent.map(({ subject }) => subject)}::text[], ${sent.map(({ message }) => message)}::text[])
          )
          insert into reconciliations as r (application_id, times, next_at)
          select id, 1, now() + ${afterMs} * interval '1 millisecond' from unnest(${ids}::uuid[]) as t (id)
          on conflict (application_id) do update set times = r.times + 1,
            next_at = now() + least(${longestMs}, ${afterMs} * power(2, least(r.times, 30))) * interval '1 millisecond'`.execute(
        within.sql(),
      );
      return sent;
    });
    relay.send(messages);
    if (messages.length > 0) {
      reconciled.inc(messages.length);
      log.error(
        { applications: messages.length },
        'PENDING applications whose message may be lost were given back to the queue',
      );
    }
    return messages.length;
  }

  return repeatedly(async () => {
    let found = 0;
    try {
      found = await reconcile();
    } catch (error) {
      log.warn({ err: error }, 'applications not reconciled, will be tried again');
    }
    return found === batch ? 0 : (afterMs / 4) * (0.5 + Math.random());
  });
}
