import { ApplicationEventEntity, type Database, DecisionEntity, decisionFields, sql } from '@prequal/persistence';
import {
  type Application,
  type ApplicationEvent,
  type ApplicationStatus,
  type Decision,
  type LoanType,
  parsePaise,
  type StoredConsent,
} from '@prequal/schema';
import { inBatches } from '@prequal/service';
import { isInSight, type Sight } from './viewer.ts';

const limits = { maxItems: 500, maxConcurrent: 4 };

export type ApplicationReader = {
  /** Undefined when it does not exist or is out of sight. */
  findApplication: (wanted: { id: string } & Sight) => Promise<Application | undefined>;
  /** Oldest first. Of an application that was found in sight. */
  findHistory: (applicationId: string) => Promise<ApplicationEvent[]>;
  findDecision: (applicationId: string) => Promise<Decision | undefined>;
};

/** Reads by id; what many requests ask for in one turn is one query. Ids are lower-case UUIDs. */
export function createApplicationReader(database: Database): ApplicationReader {
  return {
    findApplication: inBatches(async (wanted) => {
      // Bound parameters, as a subject may be personal: the entity manager would write it into the statement.
      const { rows } = await sql<ApplicationRow & { place: number }>`
        select w.place::integer, ${applicationColumns}
        from unnest(
          ${wanted.map(({ id }) => id)}::uuid[], ${wanted.map(({ subject }) => subject)}::text[],
          ${wanted.map(({ seesAll }) => seesAll)}::boolean[]
        ) with ordinality as w (id, subject, sees_all, place)
        join applications a on a.id = w.id and ${isInSight}`.execute(database.sql());
      const byPlace = new Map(rows.map((row) => [row.place, row]));
      return wanted.map((_, index) => {
        const row = byPlace.get(index + 1);
        return row && toApplication(row);
      });
    }, limits),
    findHistory: inBatches(async (ids) => {
      const found = await database
        .em()
        .find(
          ApplicationEventEntity,
          { applicationId: { $in: [...new Set(ids)] } },
          { orderBy: { version: 'asc', kind: 'desc' } },
        );
      const byId = Map.groupBy(found, (event) => event.applicationId);
      return ids.map((id) => byId.get(id) ?? []);
    }, limits),
    findDecision: inBatches(async (ids) => {
      const found = await database
        .em()
        .find(
          DecisionEntity,
          { applicationId: { $in: [...new Set(ids)] } },
          { fields: decisionFields, orderBy: { version: 'asc' } },
        );
      // The newest of each comes last, and stays.
      const byId = new Map(found.map((decision) => [decision.applicationId, decision]));
      return ids.map((id) => byId.get(id));
    }, limits),
  };
}

/** What is read of an application `a`: never its PAN. */
export const applicationColumns = sql`a.id, a.pan_masked, a.applicant_name, a.monthly_income_inr, a.loan_amount_inr,
  a.loan_type, a.status, a.cibil_score, a.consent, a.version, a.created_at, a.updated_at`;

export type ApplicationRow = {
  id: string;
  pan_masked: string;
  applicant_name: string | null;
  monthly_income_inr: string;
  loan_amount_inr: string;
  loan_type: LoanType;
  status: ApplicationStatus;
  cibil_score: number | null;
  consent: StoredConsent | null;
  version: number;
  created_at: string;
  updated_at: string;
};

export function toApplication(row: ApplicationRow): Application {
  return {
    id: row.id,
    maskedPan: row.pan_masked,
    applicantName: row.applicant_name,
    monthlyIncomePaise: storedPaise(row.monthly_income_inr),
    loanAmountPaise: storedPaise(row.loan_amount_inr),
    loanType: row.loan_type,
    status: row.status,
    cibilScore: row.cibil_score,
    consent: row.consent && { ...row.consent, givenAt: new Date(row.consent.givenAt) },
    version: row.version,
    createdAt: new Date(row.created_at),
    updatedAt: new Date(row.updated_at),
  };
}

function storedPaise(rupees: string): number {
  const paise = parsePaise(rupees);
  if (paise === undefined) throw new Error('a stored amount is not a positive number with two fraction digits');
  return paise;
}
