import { type KeyedDigests, maskPan } from '@prequal/pan';
import { type Database, isDatabaseAway, jsonLines, type OutboxMessage, type Relay, sql } from '@prequal/persistence';
import {
  type Application,
  type ChainedEvent,
  canonicalAroundTime,
  type EventPayload,
  formatRupees,
} from '@prequal/schema';
import type { SubmitApplicationInput } from '@prequal/schema/graphql';
import { inBatches, isolatingBadItems, type Logger, type Trace } from '@prequal/service';
import { type FindEarlierDeps, identityOf, type Repeatable, replay } from './find-earlier.ts';
import { submittedMessage } from './submitted-message.ts';

export type SubmitDeps = FindEarlierDeps & {
  relay: Relay;
  encryptPan: (pan: string, applicationId: string) => Buffer;
  indexPan: (pan: string) => KeyedDigests;
  /** UUID version 7 with 74 random bits: knowing one application's id says nothing about another's */
  newId: () => string;
  now: () => Date;
  log: Logger;
  /** submissions that may wait for the database; one more is refused at once */
  maxWaiting: number;
  /** told of each new application, tests of the system itself left out */
  countAccepted: () => void;
};

export type Submission = {
  input: SubmitApplicationInput;
  /** the token's subject, whose application it is and whose idempotency key; null for anonymous callers */
  owner: string | null;
  /** whom it counts for, see `clientAddress` */
  address: string;
  synthetic: boolean;
  trace: Trace;
};

export type SubmitResult = { application: Application; replayed: boolean };

/** a database that hangs does not keep its callers for longer */
const limits = { maxItems: 256, maxConcurrent: 3, maxWaitMs: 3_000 };

/**
 * Accepts applications. Each is stored with its first event, its outbox row and its idempotency key in
 * one statement; those that arrive together share it. Returns after the commit; publishing follows.
 * Throws `Refusal` IDEMPOTENCY_KEY_REUSED, `OverloadedError`.
 */
export function createSubmitApplication(deps: SubmitDeps): (submission: Submission) => Promise<SubmitResult> {
  const store = inBatches(
    isolatingBadItems((rows: readonly NewApplication[]) => storeAll(deps.database, rows), isDatabaseAway),
    { ...limits, maxWaiting: deps.maxWaiting },
  );
  return async (submission) => {
    const row = prepare(deps, submission);
    const createdAt = await store(row);
    if (createdAt === 'key-taken') {
      const earlier = await replay(deps, row);
      if (!earlier) throw new Error('an idempotency key that was taken is gone');
      return earlier;
    }
    deps.relay.send([row.message]);
    if (!submission.synthetic) deps.countAccepted();
    deps.log.info({ applicationId: row.id, ...submission.trace }, 'application accepted');
    const { idempotencyKey: _, panNumber: __, ...stated } = submission.input;
    const application: Application = {
      ...stated,
      id: row.id,
      maskedPan: row.panMasked,
      status: 'PENDING',
      cibilScore: null,
      version: 1,
      createdAt,
      updatedAt: createdAt,
    };
    return { application, replayed: false };
  };
}

type NewApplication = Repeatable & {
  id: string;
  panCiphertext: Buffer;
  panIndex: Buffer;
  panMasked: string;
  message: OutboxMessage;
  payload: EventPayload;
  /** its first event in canonical form but for the time, which the database knows */
  event: { before: string; after: string };
};

function prepare(deps: SubmitDeps, submission: Submission): NewApplication {
  const { input, trace } = submission;
  const id = deps.newId();
  const panCiphertext = deps.encryptPan(input.panNumber, id);
  const message = submittedMessage({
    eventId: deps.newId(),
    applicationId: id,
    panCiphertext,
    monthlyIncomePaise: input.monthlyIncomePaise,
    loanAmountPaise: input.loanAmountPaise,
    loanType: input.loanType,
    time: deps.now(),
    trace,
  });
  return {
    id,
    panCiphertext,
    panIndex: deps.indexPan(input.panNumber).current,
    panMasked: maskPan(input.panNumber),
    submission,
    ...identityOf(deps, input),
    message,
    payload: statedIn(input),
    event: canonicalAroundTime(firstEvent(id, message.id, statedIn(input))),
  };
}

/** What the first event says of the application: from then on the chain guards it. */
function statedIn({ monthlyIncomePaise, loanAmountPaise, loanType, consent }: SubmitApplicationInput): EventPayload {
  return {
    monthlyIncomeInr: formatRupees(monthlyIncomePaise),
    loanAmountInr: formatRupees(loanAmountPaise),
    loanType,
    consent: consent ? { ...consent, givenAt: consent.givenAt.toISOString() } : undefined,
  };
}

/** As the statement below writes it. */
function firstEvent(applicationId: string, id: string, payload: EventPayload): Omit<ChainedEvent, 'occurredAt'> {
  return {
    id,
    applicationId,
    version: 1,
    kind: 'STATUS',
    status: 'PENDING',
    actor: 'gateway',
    reasons: [],
    payload,
    decisionHash: null,
    previousHash: null,
  };
}

/**
 * One statement, one round trip, one commit. Answers for each row when it was created, or that its
 * idempotency key belongs to an earlier application. Keys are inserted in order, so that two batches
 * with the same keys wait for each other instead of deadlocking.
 */
async function storeAll(database: Database, rows: readonly NewApplication[]): Promise<(Date | 'key-taken')[]> {
  const column = <T>(of: (row: NewApplication) => T): T[] => rows.map(of);
  const stored = await sql<{ id: string; created_at: string }>`
    with input as (
      select * from unnest(
        ${column((r) => r.id)}::uuid[],
        ${column((r) => r.panCiphertext)}::bytea[],
        ${column((r) => r.panIndex)}::bytea[],
        ${column((r) => r.panMasked)}::text[],
        ${column((r) => r.submission.input.applicantName)}::text[],
        ${column((r) => formatRupees(r.submission.input.monthlyIncomePaise))}::numeric[],
        ${column((r) => formatRupees(r.submission.input.loanAmountPaise))}::numeric[],
        ${column((r) => r.submission.input.loanType)}::text[],
        ${column((r) => r.submission.trace.correlationId)}::text[],
        ${column((r) => r.submission.synthetic)}::boolean[],
        ${column((r) => r.submission.owner)}::text[],
        ${jsonLines(column(({ submission: { input } }) => input.consent && JSON.stringify(input.consent)))},
        ${column((r) => r.keyDigest)}::bytea[],
        ${column((r) => r.fingerprint?.current ?? null)}::bytea[],
        ${column((r) => r.message.id)}::uuid[],
        ${column((r) => r.message.subject)}::text[],
        ${jsonLines(column((r) => r.message.message))},
        ${jsonLines(column((r) => JSON.stringify(r.payload)))},
        ${jsonLines(column((r) => r.event.before))},
        ${jsonLines(column((r) => r.event.after))}
      ) as t (id, pan_ciphertext, pan_index, pan_masked, applicant_name, monthly_income_inr, loan_amount_inr, loan_type,
        correlation_id, synthetic, owner, consent, key_digest, fingerprint, event_id, subject, message, payload,
        event_before, event_after)
    ), claimed as (
      insert into idempotency_keys (caller, key_digest, application_id, fingerprint)
      select coalesce(owner, ''), key_digest, id, fingerprint from input where key_digest is not null
      order by 1, key_digest
      on conflict do nothing
      returning application_id
    ), accepted as (
      select *, ${hashedWithTime()} as event_hash
      from input where key_digest is null or id in (select application_id from claimed)
    ), stored as (
      insert into applications (id, pan_ciphertext, pan_index, pan_masked, applicant_name, monthly_income_inr,
        loan_amount_inr, loan_type, status, version, correlation_id, synthetic, owner, consent, event_hash)
      select id, pan_ciphertext, pan_index, pan_masked, applicant_name, monthly_income_inr,
        loan_amount_inr, loan_type, 'PENDING', 1, correlation_id, synthetic, owner, consent::jsonb, event_hash
      from accepted
      returning id, created_at
    ), recorded as (
      insert into application_events (id, application_id, version, status, actor, reasons, payload, hash)
      select event_id, id, 1, 'PENDING', 'gateway', '[]', payload::jsonb, event_hash from accepted
    ), queued as (
      insert into outbox (id, application_id, subject, message)
      select event_id, id, subject, message from accepted
    )
    select id, created_at from stored`.execute(database.sql());
  const createdAt = new Map(stored.rows.map((row) => [row.id, new Date(row.created_at)]));
  return rows.map((row) => createdAt.get(row.id) ?? 'key-taken');
}

/** The event's hash with the time that `occurred_at` gets by default: that of this transaction, to the millisecond. */
function hashedWithTime() {
  return sql`sha256(convert_to(event_before ||
    to_char(now()::timestamptz(3) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') || event_after, 'UTF8'))`;
}
