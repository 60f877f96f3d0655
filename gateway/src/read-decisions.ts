import { type Database, sql } from '@prequal/persistence';
import type { ApplicationStatus, DecisionReason, LoanType, StatusUpdate } from '@prequal/schema';

export type FoundDecision = StatusUpdate & { loanType: LoanType };

/** Of applications that were signalled: the version that the signal named, or `unnamedVersion`. */
type Signalled = ReadonlyMap<string, number>;

/** Higher than any: of a signal that did not say which decision it was for. */
export const unnamedVersion = 2 ** 31 - 1;

/** Each answers what was not answered before, each application's decisions in their order. One call at a time. */
export type DecisionReader = {
  /** Comes first. What was recorded before then counts as answered; `agoMs` is asked when the database has answered. */
  begin: (agoMs: () => number) => Promise<void>;
  /** What the signals named, whenever it was recorded, and all else that is new of these applications. */
  signalled: (applications: Signalled) => Promise<FoundDecision[]>;
  /** The next page of a look by time at all applications, and whether that was its last one. */
  nextPage: () => Promise<{ decisions: FoundDecision[]; isLast: boolean }>;
  /** It remembers as much as it may, and wants a look by time to be able to forget. */
  isFull: () => boolean;
};

/**
 * A decision is recorded with the time at which it was written, and is seen once that is committed. The server ends
 * a statement after 5 s and a transaction that waits for its client after 10 s, so it does not take longer than this.
 */
const overlapMs = 30_000;

const defaults = { pageSize: 1_000, maxKnown: 100_000 };

/**
 * Makes a reader for one stretch of watching; tests of the system itself are left out. It keeps the time up to which
 * everything was answered, and what was answered beyond it, so that it reads the overlap again without telling it
 * again. It keeps up to `maxKnown` of them, so a signal that comes twice is answered twice only when it comes so late
 * that this one is forgotten.
 */
export function createDecisionReader(database: Database, options: Partial<typeof defaults> = {}): () => DecisionReader {
  const { pageSize, maxKnown } = { ...defaults, ...options };
  return () => {
    /** what was recorded until then was answered, or came before the beginning */
    let answeredUntil = new Date(0);
    /** answered, with the time of recording */
    const known = new Map<string, number>();
    /** where the look by time that is under way has come to */
    let place: Place | undefined;
    /** whether what it has seen so far cannot be joined by what is committed late */
    let isSettled = true;

    /** `offset 0` has the server go by id, application by application, and never by time, whatever it knows of its tables. */
    async function readUnknown(applications: Signalled): Promise<FoundDecision[]> {
      if (applications.size === 0) return [];
      const { rows } = await sql<Row>`
        select d.* from unnest(${[...applications.keys()]}::uuid[], ${[...applications.values()]}::integer[]) s (id, version)
        cross join lateral (
          select e.application_id, e.version, e.status, e.occurred_at, e.recorded_at, e.reasons, e.payload, a.loan_type
          from application_events e join applications a on a.id = e.application_id
          where e.application_id = s.id and e.kind = 'STATUS' and e.status <> 'PENDING' and not a.synthetic
          offset 0
        ) d
        where d.version >= s.version or d.recorded_at > ${answeredUntil}::timestamptz
        order by d.application_id, d.version`.execute(database.sql());
      const fresh = rows.filter((row) => !known.has(keyOf(row)));
      for (const row of fresh) known.set(keyOf(row), new Date(row.recorded_at ?? 0).getTime());
      return fresh.map(toDecision);
    }

    /** Of what lies before `answeredUntil`; what is found again only by a signal. */
    function forget(): void {
      for (const [key, recordedAt] of known) {
        if (known.size <= maxKnown) return;
        if (recordedAt <= answeredUntil.getTime()) known.delete(key);
      }
    }

    /** When so much is decided that the overlap alone is more: it becomes shorter. All was answered up to here. */
    function shorten(): void {
      if (known.size <= maxKnown) return;
      const times = [...known.values()].toSorted((one, other) => one - other);
      answeredUntil = new Date(Math.max(answeredUntil.getTime(), times[times.length - Math.ceil(maxKnown / 2)] ?? 0));
      for (const [key, recordedAt] of known) if (recordedAt <= answeredUntil.getTime()) known.delete(key);
    }

    /** A page has come so far, and what was recorded until `settledUntil` could be seen. */
    function settle(until: number, settledUntil: number): void {
      if (!isSettled) return;
      answeredUntil = new Date(Math.max(answeredUntil.getTime(), Math.min(until, settledUntil)));
      isSettled = until <= settledUntil;
      forget();
    }

    return {
      begin: async (agoMs) => {
        const { rows } = await sql<{ now: string }>`select now() as now`.execute(database.sql());
        answeredUntil = new Date(new Date(rows[0]?.now ?? 0).getTime() - agoMs());
      },
      signalled: readUnknown,
      nextPage: async () => {
        const { at, id, version } = (place ??= { at: answeredUntil, id: lastId, version: unnamedVersion });
        // Keys alone, of which the index knows all: most of the overlap is known already.
        const { rows } = await sql<Key>`
          select application_id, version, recorded_at, now() - ${overlapMs} * interval '1 millisecond' as settled_until
          from application_events
          where (recorded_at, application_id, version) > (${at}::timestamptz, ${id}::uuid, ${version}::integer)
            and recorded_at is not null and kind = 'STATUS' and status <> 'PENDING'
          order by recorded_at, application_id, version limit ${pageSize}`.execute(database.sql());
        const unknown = new Map<string, number>();
        for (const row of rows) {
          if (known.has(keyOf(row))) continue;
          unknown.set(row.application_id, Math.min(row.version, unknown.get(row.application_id) ?? unnamedVersion));
        }
        const decisions = await readUnknown(unknown);
        const last = rows.at(-1);
        if (last) {
          place = { at: new Date(last.recorded_at), id: last.application_id, version: last.version };
          // Others of the same millisecond may be on the next page.
          settle(place.at.getTime() - 1, new Date(last.settled_until).getTime());
        }
        const isLast = rows.length < pageSize;
        if (isLast) {
          shorten();
          place = undefined;
          isSettled = true;
        }
        return { decisions, isLast };
      },
      isFull: () => known.size > maxKnown,
    };
  };
}

const lastId = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

type Place = { at: Date; id: string; version: number };

type Key = { application_id: string; version: number; recorded_at: string; settled_until: string };

type Row = {
  application_id: string;
  version: number;
  status: ApplicationStatus;
  occurred_at: string;
  recorded_at: string | null;
  reasons: DecisionReason[];
  payload: { cibilScore?: number | null };
  loan_type: LoanType;
};

function keyOf({ application_id, version }: { application_id: string; version: number }): string {
  return `${application_id}:${version}`;
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
