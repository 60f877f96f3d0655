import { type Database, sql } from '@prequal/persistence';
import type { ApplicationStatus, DecisionReason, LoanType, StatusUpdate } from '@prequal/schema';

export type FoundDecision = StatusUpdate & { loanType: LoanType };

/** Each time it is called it answers what was decided since and was not answered before, see `createDecisionReader`. */
export type DecisionReader = () => (applicationIds?: readonly string[]) => Promise<FoundDecision[]>;

/**
 * A decision has the time at which its transaction began, and is seen once that is committed: a look by time
 * begins so long before the last one. No transaction of ours lasts as long.
 */
const overlapMs = 60_000;

/**
 * Makes a reader for one stretch of watching. Its first answer is empty: what it finds then was decided before.
 * Later ones hold what is new, of these applications or, without them, of all, each application's decisions in
 * their order. Tests of the system itself are left out. One call at a time.
 */
export function createDecisionReader(database: Database): DecisionReader {
  return () => {
    let since: Date | undefined;
    /** found before, with its time; what is older than `since` will not be found again */
    const known = new Map<string, number>();

    return async (applicationIds) => {
      const isFirst = since === undefined;
      const isByTime = isFirst || applicationIds === undefined;
      const named = isByTime ? sql`` : sql`e.application_id = any(${[...applicationIds]}::uuid[]) and`;
      const { rows } = await sql<Row | NoRow>`
        select n.since as looked_since, d.*
        from (select now() - ${overlapMs} * interval '1 millisecond' as since) n
        left join lateral (
          select e.application_id, e.version, e.status, e.occurred_at, e.reasons, e.payload, a.loan_type
          from application_events e join applications a on a.id = e.application_id
          where ${named} e.occurred_at > coalesce(${since ?? null}::timestamptz, n.since)
            and e.kind = 'STATUS' and e.status <> 'PENDING' and not a.synthetic
        ) d on true
        order by d.application_id, d.version`.execute(database.sql());
      const fresh = rows.filter(isRow).filter(({ application_id, version, occurred_at }) => {
        const key = `${application_id}:${version}`;
        if (known.has(key)) return false;
        known.set(key, new Date(occurred_at).getTime());
        return true;
      });
      if (isByTime) {
        since = new Date(rows[0]?.looked_since ?? 0);
        for (const [key, occurredAt] of known) if (occurredAt <= since.getTime()) known.delete(key);
      }
      return isFirst ? [] : fresh.map(toDecision);
    };
  };
}

type NoRow = { looked_since: string; application_id: null };

type Row = {
  looked_since: string;
  application_id: string;
  version: number;
  status: ApplicationStatus;
  occurred_at: string;
  reasons: DecisionReason[];
  payload: { cibilScore?: number | null };
  loan_type: LoanType;
};

function isRow(row: Row | NoRow): row is Row {
  return row.application_id !== null;
}

function toDecision(row: Row): FoundDecision {
  return {
    applicationId: row.application_id,
    version: row.version,
    status: row.status,
    occurredAt: new Date(row.occurred_at),
    cibilScore: row.payload.cibilScore ?? null,
    reasons: row.reasons,
    loanType: row.loan_type,
  };
}
