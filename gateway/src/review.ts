import { toMessage } from '@prequal/messaging';
import { type Database, inTransaction, lastEventHash, type Relay, recordDecisions, sql } from '@prequal/persistence';
import { type ApplicationStatus, createEvent, Refusal, type Review, reviewLimits } from '@prequal/schema';
import type { ReviewResolution } from '@prequal/schema/graphql';
import { childOf, inBatches, type Logger, type Trace } from '@prequal/service';

export type ReviewDeps = { database: Database; relay: Pick<Relay, 'send'>; newId: () => string; log: Logger };

/** An underwriter, by the subject of the token. */
export type Underwriter = { subject: string; trace: Trace };

export type Reviews = ReturnType<typeof createReviews>;

/** The desk of the underwriters. */
export function createReviews(deps: ReviewDeps) {
  const { database } = deps;
  return {
    findReview: inBatches<string, Review | undefined>((ids) => findReviews(database, ids), {
      maxItems: 500,
      maxConcurrent: 2,
    }),
    claimReview: (applicationId: string, { subject }: Underwriter) => claimReview(database, applicationId, subject),
    resolveReview: (resolution: ReviewResolution, by: Underwriter) => resolveReview(deps, resolution, by),
  };
}

type ReviewRow = { id: string; claimed_by: string | null; expires_at: string | null; waiting_since: string };

async function findReviews(database: Database, ids: readonly string[]): Promise<(Review | undefined)[]> {
  const { rows } = await sql<ReviewRow>`
    select a.id, c.claimed_by, c.expires_at, e.occurred_at as waiting_since
    from applications a
    join application_events e on e.application_id = a.id and e.version = a.version and e.kind = 'STATUS'
    left join review_claims c on c.application_id = a.id and c.expires_at > now()
    where a.id = any(${ids}::uuid[]) and a.status = 'MANUAL_REVIEW'`.execute(database.sql());
  const byId = new Map(rows.map((row) => [row.id, row]));
  return ids.map((id) => {
    const row = byId.get(id);
    return (
      row && {
        claimedBy: row.claimed_by,
        claimExpiresAt: row.expires_at === null ? null : new Date(row.expires_at),
        waitingSince: new Date(row.waiting_since),
      }
    );
  });
}

/**
 * Takes an application for a quarter of an hour, or renews one's own claim. A claim that has expired is anybody's
 * to take; two who ask at once wait for each other at the row, and the second sees the first one's claim.
 */
async function claimReview(database: Database, applicationId: string, subject: string): Promise<void> {
  const { rows } = await sql<{ status: ApplicationStatus | null; claimed: boolean }>`
    with open as (
      select id from applications where id = ${applicationId} and status = 'MANUAL_REVIEW'
    ), claimed as (
      insert into review_claims as c (application_id, claimed_by, expires_at)
      select id, ${subject}, now() + ${reviewLimits.claimMinutes} * interval '1 minute' from open
      on conflict (application_id) do update
        set claimed_by = excluded.claimed_by, claimed_at = now(), expires_at = excluded.expires_at
        where c.claimed_by = excluded.claimed_by or c.expires_at <= now()
      returning 1
    )
    select (select status from applications where id = ${applicationId}) as status,
      exists (select from claimed) as claimed`.execute(database.sql());
  const { status = null, claimed = false } = rows[0] ?? {};
  if (claimed) return;
  if (status === null) throw notFound();
  if (status !== 'MANUAL_REVIEW') throw notInReview();
  throw new Refusal(
    'CLAIMED_BY_ANOTHER',
    'Another underwriter holds this application. Take another one, or wait until the claim expires.',
  );
}

/** The policy that referred an application to a person; nulls when the system did. */
type Referral = { policy_version: string | null; policy_hash: string | null };

type InReview = {
  status: ApplicationStatus;
  version: number;
  event_hash: string | null;
  cibil_score: number | null;
  correlation_id: string;
  now: string;
};

/**
 * Status, decision, event and announcement in one transaction that holds the claim: nobody else can take the
 * application meanwhile, and whatever decided it in between has changed the version, so that nothing is written.
 */
async function resolveReview(
  { database, relay, newId, log }: ReviewDeps,
  { applicationId, outcome, reasonCode, comment }: ReviewResolution,
  { subject, trace }: Underwriter,
): Promise<void> {
  const reasons = [{ code: reasonCode, message: comment }];
  const message = await inTransaction(database, async (within) => {
    const { rows: claims } = await sql`
        select 1 from review_claims
        where application_id = ${applicationId} and claimed_by = ${subject} and expires_at > now()
        for update`.execute(within.sql());
    const { rows } = await sql<InReview>`
      select a.status, a.version, ${lastEventHash()} as event_hash, a.cibil_score, a.correlation_id,
        now()::timestamptz(3) as now
      from applications a where a.id = ${applicationId} for update`.execute(within.sql());
    const application = rows[0];
    if (!application) throw notFound();
    if (application.status !== 'MANUAL_REVIEW') throw notInReview();
    // By itself: a join would show the decision of before, when the row above was waited for.
    const { rows: referrals } = await sql<Referral>`
      select policy_version, policy_hash from decisions
      where application_id = ${applicationId} and version = ${application.version}`.execute(within.sql());
    const [referral] = referrals;
    if (claims.length === 0) {
      throw new Refusal('NOT_CLAIMED', 'You do not hold this application, or no longer. Claim it first.');
    }
    const decidedAt = new Date(application.now);
    const event = createEvent('statusChanged', {
      id: newId(),
      source: 'gateway',
      applicationId,
      time: decidedAt,
      trace: { correlationId: application.correlation_id, traceparent: childOf(trace.traceparent) },
      data: { status: outcome, version: application.version + 1, cibilScore: application.cibil_score, reasons },
    });
    const announced = toMessage('statusChanged', event);
    const written = await recordDecisions(within, [
      {
        applicationId,
        version: application.version,
        eventHash: application.event_hash,
        outcome,
        decidedBy: 'UNDERWRITER',
        actor: `underwriter:${subject}`,
        // Of the policy that referred it to a person.
        policy:
          referral?.policy_version == null || referral.policy_hash === null
            ? null
            : { version: referral.policy_version, hash: referral.policy_hash },
        cibilScore: application.cibil_score,
        reasons,
        inputs: {},
        report: null,
        decidedAt,
        message: announced,
      },
    ]);
    if (!written.has(applicationId)) throw notInReview();
    return announced;
  });
  relay.send([message]);
  log.info({ applicationId, status: outcome, ...trace }, 'review resolved');
}

function notFound(): Refusal {
  return new Refusal('NOT_FOUND', 'There is no application with this id.');
}

function notInReview(): Refusal {
  return new Refusal('NOT_IN_REVIEW', 'This application does not wait for an underwriter, or no longer.');
}
