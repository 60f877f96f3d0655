import { type Database, sql } from '@prequal/persistence';
import { type ApplicationStatus, type DecisionReason, isFinal, type StatusUpdate } from '@prequal/schema';
import { inBatches, type Logger } from '@prequal/service';
import { isInSight, type Sight } from './viewer.ts';

/** What the database knows beyond `after`: the updates in order, and whether any can still follow. */
export type StatusSnapshot = { updates: StatusUpdate[]; final: boolean };

/** Undefined for an application that does not exist or is out of sight. Without `after` the one update is the current status. */
export type ReadStatus = (
  wanted: { id: string; after: number | undefined } & Sight,
) => Promise<StatusSnapshot | undefined>;

/** Reads for all watchers that ask in one turn, or wait while a read is under way, in one query. */
export function createReadStatus(database: Database, log: Logger): ReadStatus {
  return inBatches(
    async (wanted) => {
      const { rows } = await sql<Row>`
        select w.place::integer, a.status as current_status, e.version, e.status, e.occurred_at, e.reasons, e.payload
        from unnest(
          ${wanted.map(({ id }) => id)}::uuid[], ${wanted.map(({ after }) => after ?? null)}::integer[],
          ${wanted.map(({ subject }) => subject)}::text[], ${wanted.map(({ seesAll }) => seesAll)}::boolean[]
        ) with ordinality as w (id, after, subject, sees_all, place)
        join applications a on a.id = w.id and ${isInSight}
        left join application_events e on e.application_id = a.id and e.kind = 'STATUS'
          and e.version > coalesce(w.after, a.version - 1)
        order by w.place, e.version`
        .execute(database.sql())
        .catch((error: unknown) => {
          log.warn({ err: error, watchers: wanted.length }, 'statuses not read, their watchers wait');
          throw error;
        });
      const byPlace = Map.groupBy(rows, (row) => row.place);
      return wanted.map(({ id }, index) => toSnapshot(id, byPlace.get(index + 1)));
    },
    { maxItems: 500, maxConcurrent: 2 },
  );
}

type Row = {
  place: number;
  current_status: ApplicationStatus;
  version: number | null;
  status: ApplicationStatus;
  occurred_at: string;
  reasons: DecisionReason[];
  payload: { cibilScore?: number | null };
};

function toSnapshot(applicationId: string, rows: Row[] | undefined): StatusSnapshot | undefined {
  if (!rows?.[0]) return undefined;
  const updates = rows.flatMap((row) =>
    row.version === null
      ? []
      : {
          applicationId,
          version: row.version,
          status: row.status,
          occurredAt: new Date(row.occurred_at),
          cibilScore: row.payload.cibilScore ?? null,
          reasons: row.reasons,
        },
  );
  return { updates, final: isFinal(rows[0].current_status) };
}
