import { type DeadLetter, toMessage } from '@prequal/messaging';
import {
  type Database,
  inTransaction,
  lastEventHash,
  type OutboxMessage,
  type Relay,
  recordDecisions,
  sql,
} from '@prequal/persistence';
import { createEvent, type DecisionReason } from '@prequal/schema';
import { childOf, type Logger } from '@prequal/service';

export type DeadLetterDeps = {
  database: Database;
  relay: Pick<Relay, 'send'>;
  newId: () => string;
  log: Logger;
  /** told of each dead letter that was recorded */
  countDeadLetter: (deadLetter: DeadLetter) => void;
};

const reasons: DecisionReason[] = [
  {
    code: 'PROCESSING_FAILED',
    message: 'Your application could not be processed automatically, so an underwriter looks at it.',
  },
];

/**
 * A worker gave a message up: records it for the operators, once, and hands the application behind it to an
 * underwriter if it is still PENDING, so that nobody waits for ever. Both or neither.
 */
export async function onDeadLetter(deps: DeadLetterDeps, deadLetter: DeadLetter): Promise<void> {
  const { database, relay, log } = deps;
  const { id: deadLetterId, consumer, errorClass, applicationId } = deadLetter;
  const announcements = await inTransaction(database, async (within) => {
    if (!(await insert(within, deadLetter))) return undefined;
    return applicationId === undefined ? [] : referToUnderwriter(deps, within, applicationId, deadLetter);
  });
  if (announcements === undefined) return;
  relay.send(announcements);
  deps.countDeadLetter(deadLetter);
  const outcome = announcements.length > 0 ? 'its application goes to an underwriter' : 'no application waits for it';
  log.error({ deadLetterId, consumer, errorClass, applicationId }, `dead letter recorded, ${outcome}`);
}

type Executor = Pick<Database, 'sql'>;

/** False when it was recorded before. */
async function insert(database: Executor, deadLetter: DeadLetter): Promise<boolean> {
  const { id, consumer, subject, applicationId = null, errorClass, error, deliveries } = deadLetter;
  const { correlationId = null, traceparent = null, payload } = deadLetter;
  const isErased = applicationId !== null && (await eraseAgain(database, applicationId));
  const { rows } = await sql`
    insert into dead_letters (id, consumer, subject, application_id, error_class, error, deliveries, correlation_id,
      traceparent, payload)
    values (${id}, ${consumer}, ${subject}, ${applicationId}, ${errorClass}, ${error}, ${deliveries}, ${correlationId},
      ${traceparent}, ${isErased ? Buffer.alloc(0) : Buffer.from(payload)})
    on conflict (id) do nothing
    returning id`.execute(database.sql());
  return rows.length > 0;
}

/**
 * Whether the personal data of this application was erased: then a worker had the message in hand meanwhile, and the
 * copy that it has put into the stream of dead letters is to be deleted as well. The row is locked as the erasure
 * locks it, so that either this sees the erasure or the erasure sees the dead letter.
 */
async function eraseAgain(database: Executor, applicationId: string): Promise<boolean> {
  await sql`select 1 from applications where id = ${applicationId} for update`.execute(database.sql());
  const { rows } = await sql`
    update erasures set purge_at = now(), purges = 0 where application_id = ${applicationId} returning 1`.execute(
    database.sql(),
  );
  return rows.length > 0;
}

async function referToUnderwriter(
  { newId }: DeadLetterDeps,
  database: Executor,
  applicationId: string,
  deadLetter: DeadLetter,
): Promise<OutboxMessage[]> {
  const { rows } = await sql<{ version: number; event_hash: string | null; correlation_id: string; now: string }>`
    select version, ${lastEventHash()} as event_hash, correlation_id, now()::timestamptz(3) as now
    from applications a where id = ${applicationId} and status = 'PENDING' for update`.execute(database.sql());
  const application = rows[0];
  if (!application) return [];
  const decidedAt = new Date(application.now);
  const event = createEvent('statusChanged', {
    id: newId(),
    source: 'decisioning',
    applicationId,
    time: decidedAt,
    trace: {
      correlationId: application.correlation_id,
      traceparent: childOf(deadLetter.traceparent),
    },
    data: { status: 'MANUAL_REVIEW', version: application.version + 1, cibilScore: null, reasons },
  });
  const message = toMessage('statusChanged', event);
  await recordDecisions(database, [
    {
      applicationId,
      version: application.version,
      eventHash: application.event_hash,
      outcome: 'MANUAL_REVIEW',
      decidedBy: 'SYSTEM',
      actor: 'decisioning',
      policy: null,
      cibilScore: null,
      reasons,
      inputs: { deadLetterId: deadLetter.id, errorClass: deadLetter.errorClass },
      report: null,
      decidedAt,
      message,
    },
  ]);
  return [message];
}
