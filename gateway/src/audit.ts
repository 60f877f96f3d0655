import { verifyEvidence } from '@prequal/evidence';
import { type Database, inTransaction, lastEventHash, readEvidence, sql } from '@prequal/persistence';
import type { Evaluator } from '@prequal/policy';
import {
  type ApplicationStatus,
  type ChainedEvent,
  type DecisionVerification,
  erasedPan,
  hashOfEvent,
  Refusal,
  validationFailed,
} from '@prequal/schema';
import type { Logger, Trace } from '@prequal/service';

export type AuditDeps = {
  database: Database;
  evaluator: Pick<Evaluator, 'evaluate'>;
  newId: () => string;
  log: Logger;
};

/** An auditor, by the subject of the token. */
export type Auditor = { subject: string; trace: Trace };

export type Audit = ReturnType<typeof createAudit>;

/** What auditors ask, and the one thing that they change. */
export function createAudit(deps: AuditDeps) {
  return {
    verifyDecision: (applicationId: string) => verifyDecision(deps, applicationId),
    eraseApplicant: (applicationId: string, reason: string, by: Auditor) =>
      eraseApplicant(deps, applicationId, reason, by),
  };
}

async function verifyDecision(
  { database, evaluator }: AuditDeps,
  applicationId: string,
): Promise<DecisionVerification> {
  const evidence = await readEvidence(database, applicationId);
  if (!evidence) throw notFound();
  return { applicationId, ...(await verifyEvidence(evidence, evaluator)) };
}

type Erasable = {
  status: ApplicationStatus;
  version: number;
  event_hash: string | null;
  applicant_name: string | null;
  is_erased: boolean;
  now: string;
};

/**
 * The event and what it says are one transaction: `erase_personal_data` removes PAN and name from every table, and
 * leaves an entry for decisioning, which deletes the copies in the streams. An erasure is no change of status: its
 * event has the version that the application is at, and no watcher is told.
 */
async function eraseApplicant(
  { database, newId, log }: AuditDeps,
  applicationId: string,
  reason: string,
  { subject, trace }: Auditor,
): Promise<void> {
  const actor = `auditor:${subject}`;
  const isNew = await inTransaction(database, async (within) => {
    const { rows } = await sql<Erasable>`
        select a.status, a.version, ${lastEventHash()} as event_hash, a.applicant_name, a.pan_masked = ${erasedPan} as is_erased,
          now()::timestamptz(3) as now
        from applications a where a.id = ${applicationId} for update`.execute(within.sql());
    const application = rows[0];
    if (!application) throw notFound();
    if (application.is_erased) return false;
    if (application.status === 'PENDING') {
      throw new Refusal('STILL_PENDING', 'This application is not decided yet. Erase it when it is.');
    }
    refuseName(reason, application.applicant_name);
    const event: ChainedEvent = {
      id: newId(),
      applicationId,
      version: application.version,
      kind: 'ERASURE',
      status: application.status,
      actor,
      reasons: [{ code: 'APPLICANT_ERASED', message: reason }],
      payload: {},
      occurredAt: new Date(application.now).toISOString(),
      decisionHash: null,
      previousHash: application.event_hash,
    };
    await append(within, event);
    await sql`select erase_personal_data(${applicationId}, ${actor})`.execute(within.sql());
    return true;
  });
  if (isNew) log.info({ applicationId, ...trace }, 'personal data erased');
}

async function append(database: Pick<Database, 'sql'>, event: ChainedEvent): Promise<void> {
  const bytes = (hash: string | null) => hash && Buffer.from(hash, 'hex');
  const hash = bytes(hashOfEvent(event));
  await sql`
    with chained as (update applications set event_hash = ${hash} where id = ${event.applicationId})
    insert into application_events (id, application_id, version, kind, status, actor, reasons, payload, occurred_at,
      previous_hash, hash)
    values (${event.id}, ${event.applicationId}, ${event.version}, ${event.kind}, ${event.status}, ${event.actor},
      ${JSON.stringify(event.reasons)}::jsonb, ${JSON.stringify(event.payload)}::jsonb, ${event.occurredAt}::timestamptz,
      ${bytes(event.previousHash)}, ${hash})`.execute(database.sql());
}

/** Shorter parts of a name are words of other people's sentences as well. */
const minNamePart = 3;

/** The reason stays for good, so it must not repeat what is erased: no word of the name, and not the name as a whole. */
function refuseName(reason: string, name: string | null): void {
  if (name === null) return;
  const [said, parts] = [wordsOf(reason), wordsOf(name)];
  const repeatsPart = parts.some((part) => part.length >= minNamePart && said.includes(part));
  const repeatsAll = parts.join('').length > 1 && ` ${said.join(' ')} `.includes(` ${parts.join(' ')} `);
  if (!repeatsPart && !repeatsAll) return;
  throw validationFailed([
    {
      path: ['reason'],
      code: 'INVALID_VALUE',
      message: 'must not hold the name of the applicant, which is to be erased',
    },
  ]);
}

/** Letters and their marks, as they are compared: `Ravi-Kumar’s` has three. */
function wordsOf(text: string): string[] {
  return (
    text
      .normalize('NFKC')
      .toLowerCase()
      .match(/[\p{L}\p{M}\p{N}]+/gu) ?? []
  );
}

function notFound(): Refusal {
  return new Refusal('NOT_FOUND', 'There is no application with this id.');
}
