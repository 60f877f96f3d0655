import { consumers, type DeadLetter, type DeadLetterState, events, Refusal } from '@prequal/schema';
import { type Database, inTransaction, sql } from './database.ts';

/** A dead letter with what else is known of it. Its payload is read by `findDeadLetter` alone. */
export type StoredDeadLetter = DeadLetter & { correlationId: string | null };

export type DeadLetterFilter = {
  state?: DeadLetterState | undefined;
  errorClass?: string | undefined;
  consumer?: string | undefined;
};

const columns = sql`id, state, consumer, subject, application_id as "applicationId", error_class as "errorClass", error,
  deliveries, correlation_id as "correlationId", created_at as "createdAt", resolved_at as "resolvedAt",
  resolved_by as "resolvedBy", resolution`;

/** Newest first, at most `limit`; with `after`, those that come after it in that order. */
export async function listDeadLetters(
  database: Database,
  { state, errorClass, consumer }: DeadLetterFilter,
  limit: number,
  after?: { createdAt: string; id: string },
): Promise<StoredDeadLetter[]> {
  const { rows } = await sql<StoredDeadLetter>`
    select ${columns} from dead_letters
    where (${state ?? null}::text is null or state = ${state ?? null})
      and (${errorClass ?? null}::text is null or error_class = ${errorClass ?? null})
      and (${consumer ?? null}::text is null or consumer = ${consumer ?? null})
      and (${after?.id ?? null}::uuid is null
        or (created_at, id) < (${after?.createdAt ?? null}::timestamptz, ${after?.id ?? null}::uuid))
    order by created_at desc, id desc limit ${limit}`.execute(database.sql());
  return rows.map(withDates);
}

/** One dead letter with the bytes of its message. Throws `Refusal` NOT_FOUND. */
export async function findDeadLetter(database: Database, id: string): Promise<StoredDeadLetter & { payload: Buffer }> {
  const { rows } = await sql<StoredDeadLetter & { payload: Buffer }>`
    select ${columns}, payload from dead_letters where id = ${id}`.execute(database.sql());
  if (!rows[0]) throw unknown();
  return withDates(rows[0]);
}

/** Of all states when none is given. */
export async function countDeadLetters(database: Database, state?: DeadLetterState): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::integer as count from dead_letters
    where ${state ?? null}::text is null or state = ${state ?? null}`.execute(database.sql());
  return rows[0]?.count ?? 0;
}

/** Who resolves a dead letter, and under which id its message goes back. */
export type Resolution = { id: string; by: string };

/**
 * Puts the original message back on its subject, through the outbox and under a new message id: what
 * workers had noted about the first one does not count against it. Throws `Refusal` NOT_FOUND,
 * ALREADY_RESOLVED, or NOT_REPLAYABLE for a payload that is empty or no text, for a subject that no worker listens to,
 * and for what an applicant submitted who is erased.
 */
export async function replayDeadLetter(
  database: Database,
  { id, by, messageId }: Resolution & { messageId: string },
): Promise<StoredDeadLetter> {
  return inTransaction(database, async (within) => {
    const resolved = await resolve(within, { id, by, state: 'REPLAYED', resolution: `replayed as ${messageId}` });
    await refuseErased(within, resolved);
    const message = replayable(resolved);
    await sql`
        insert into outbox (id, application_id, subject, message)
        values (${messageId}, ${resolved.applicationId ?? messageId}, ${resolved.subject},
          ${withId(message, messageId)})`.execute(within.sql());
    const { payload: _, ...deadLetter } = resolved;
    return deadLetter;
  });
}

/** What a replay would do, without doing it. Throws the same `Refusal`. */
export async function checkReplay(database: Database, id: string): Promise<StoredDeadLetter> {
  const { payload, ...deadLetter } = await findDeadLetter(database, id);
  if (deadLetter.state !== 'OPEN') throw alreadyResolved();
  await refuseErased(database, deadLetter);
  replayable({ ...deadLetter, payload });
  return deadLetter;
}

/** Closes a dead letter without replaying it. Throws `Refusal` NOT_FOUND, ALREADY_RESOLVED. */
export async function discardDeadLetter(
  database: Database,
  { id, by, reason }: Resolution & { reason: string },
): Promise<StoredDeadLetter> {
  const { payload: _, ...deadLetter } = await resolve(database, { id, by, state: 'DISCARDED', resolution: reason });
  return deadLetter;
}

async function resolve(
  database: Pick<Database, 'sql'>,
  { id, by, state, resolution }: Resolution & { state: DeadLetterState; resolution: string },
): Promise<StoredDeadLetter & { payload: Buffer }> {
  const { rows } = await sql<StoredDeadLetter & { payload: Buffer }>`
    update dead_letters set state = ${state}, resolved_at = now(), resolved_by = ${by}, resolution = ${resolution}
    where id = ${id} and state = 'OPEN'
    returning ${columns}, payload`.execute(database.sql());
  if (rows[0]) return withDates(rows[0]);
  const { rows: known } = await sql`select 1 from dead_letters where id = ${id}`.execute(database.sql());
  throw known.length === 0 ? unknown() : alreadyResolved();
}

function alreadyResolved(): Refusal {
  return new Refusal('ALREADY_RESOLVED', 'This dead letter was replayed or discarded before.');
}

function unknown(): Refusal {
  return new Refusal('NOT_FOUND', 'There is no dead letter with this id.');
}

function withDates<Row extends StoredDeadLetter>(row: Row): Row {
  return { ...row, createdAt: new Date(row.createdAt), resolvedAt: row.resolvedAt && new Date(row.resolvedAt) };
}

/** The text that goes back. Throws `Refusal` NOT_REPLAYABLE. */
function replayable({ subject, payload }: { subject: string; payload: Buffer }): string {
  if (!isConsumed(subject)) {
    throw new Refusal('NOT_REPLAYABLE', 'Nobody listens to the subject it came from. Discard it.');
  }
  if (payload.length === 0) {
    throw new Refusal('NOT_REPLAYABLE', 'It has no payload, or one too large to be kept: see its error. Discard it.');
  }
  const message = textOf(payload);
  if (message === undefined) {
    throw new Refusal('NOT_REPLAYABLE', 'Its payload is no text, so no consumer can ever read it. Discard it.');
  }
  return message;
}

/** What was submitted holds personal data: it would be deleted again, from the outbox or from its stream. */
async function refuseErased(database: Pick<Database, 'sql'>, { applicationId, subject }: DeadLetter): Promise<void> {
  if (applicationId === null || !subject.startsWith(`${events.applicationSubmitted.subjectPrefix}.`)) return;
  const { rows } = await sql`
    select 1 from applications where id = ${applicationId} and pan_ciphertext = ''`.execute(database.sql());
  if (rows.length === 0) return;
  throw new Refusal('NOT_REPLAYABLE', 'The personal data of its application was erased for good. Discard it.');
}

function isConsumed(subject: string): boolean {
  return Object.values(consumers).some(({ consumes }) => subject.startsWith(`${events[consumes].subjectPrefix}.`));
}

function textOf(payload: Buffer): string | undefined {
  const text = payload.toString('utf8');
  // PostgreSQL keeps no NUL in a text.
  return Buffer.from(text).equals(payload) && !text.includes('\u0000') ? text : undefined;
}

/** The envelope with another event id; what is no envelope stays as it is. */
function withId(message: string, id: string): string {
  try {
    const envelope: unknown = JSON.parse(message);
    const isEnvelope = typeof envelope === 'object' && envelope !== null && 'specversion' in envelope;
    return isEnvelope ? JSON.stringify({ ...envelope, id }) : message;
  } catch {
    return message;
  }
}
