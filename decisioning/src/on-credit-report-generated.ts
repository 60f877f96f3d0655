import { toMessage, UnknownApplicationError } from '@prequal/messaging';
import {
  type Database,
  givenUp,
  lastEventHash,
  type NewDecision,
  type Relay,
  recordDecisions,
  sql,
} from '@prequal/persistence';
import { createEvent, type DecisionOutcome, type EventOf, parsePaise } from '@prequal/schema';
import { childOf, type Logger, type Trace } from '@prequal/service';
import { decide } from './decide.ts';
import { policyHash, policyVersion } from './policy.ts';

export type DecisioningDeps = {
  database: Database;
  relay: Relay;
  newId: () => string;
  log: Logger;
  /** told of each decision that was written, tests of the system itself left out */
  observe: (outcome: DecisionOutcome, secondsSinceSubmitted: number) => void;
};

type ReportGenerated = EventOf<'creditReportGenerated'>;

/**
 * Credit reports arrived: decides on every application that is still PENDING, or that the system had given up,
 * and records all decisions in one statement. What was decided before, by an earlier delivery or by a
 * person, stays as it is.
 */
export async function onCreditReportsGenerated(
  deps: DecisioningDeps,
  reports: readonly ReportGenerated[],
): Promise<(undefined | Error)[]> {
  const stored = await findApplications(deps.database, reports);
  const decided = new Map<string, Decided>();
  const outcomes = reports.map((report) => {
    const application = stored.get(report.subject);
    if (!application) return new UnknownApplicationError('no application with the id of this report');
    if ((application.status === 'PENDING' || application.given_up) && !decided.has(application.id)) {
      decided.set(application.id, decideOn(application, report, deps.newId()));
    }
    return undefined;
  });
  const written = await recordDecisions(deps.database, [...decided.values()]);
  const announced = [...decided.values()].filter((decision) => written.has(decision.applicationId));
  deps.relay.send(announced.map((decision) => decision.message));
  for (const { application, outcome, trace, decidedAt } of announced) {
    if (!application.synthetic) {
      deps.observe(outcome, (decidedAt.getTime() - new Date(application.created_at).getTime()) / 1_000);
    }
    deps.log.info({ applicationId: application.id, status: outcome, ...trace }, 'application decided');
  }
  return outcomes;
}

type StoredApplication = {
  id: string;
  status: string;
  /** in review, but only because its processing had failed */
  given_up: boolean;
  version: number;
  event_hash: string | null;
  monthly_income_inr: string;
  loan_amount_inr: string;
  loan_type: string;
  synthetic: boolean;
  created_at: string;
  /** the database's clock, so that every process tells the same time */
  now: string;
};

async function findApplications(
  database: Database,
  reports: readonly ReportGenerated[],
): Promise<Map<string, StoredApplication>> {
  const ids = reports.map((report) => report.subject);
  const { rows } = await sql<StoredApplication>`
    select id, status, ${givenUp()} as given_up, version, ${lastEventHash()} as event_hash, monthly_income_inr, loan_amount_inr, loan_type, synthetic,
      created_at, now()::timestamptz(3) as now
    from applications a where id = any(${ids}::uuid[])`.execute(database.sql());
  return new Map(rows.map((row) => [row.id, row]));
}

type Decided = NewDecision & { application: StoredApplication; trace: Trace };

function decideOn(application: StoredApplication, generated: ReportGenerated, eventId: string): Decided {
  const { report } = generated.data;
  const verdict = decide({
    report,
    monthlyIncomePaise: storedPaise(application.monthly_income_inr),
    loanAmountPaise: storedPaise(application.loan_amount_inr),
  });
  const cibilScore = report.result === 'SCORED' ? report.score : null;
  const decidedAt = new Date(application.now);
  const trace = { correlationId: generated.correlationid, traceparent: childOf(generated.traceparent) };
  const event = createEvent('statusChanged', {
    id: eventId,
    source: 'decisioning',
    applicationId: application.id,
    time: decidedAt,
    trace,
    data: { status: verdict.outcome, version: application.version + 1, cibilScore, reasons: verdict.reasons },
  });
  return {
    ...verdict,
    applicationId: application.id,
    version: application.version,
    eventHash: application.event_hash,
    decidedBy: 'POLICY',
    actor: 'decisioning',
    policy: { version: policyVersion, hash: policyHash },
    cibilScore,
    inputs: inputsOf(application),
    report,
    decidedAt,
    message: toMessage('statusChanged', event),
    application,
    trace,
  };
}

function storedPaise(rupees: string): number {
  const paise = parsePaise(rupees);
  if (paise === undefined) throw new Error('a stored amount is not a positive number with two fraction digits');
  return paise;
}

/** What the policy saw: with the report it is the evidence from which the decision can be made again. */
function inputsOf(application: StoredApplication): Record<string, string> {
  return {
    monthlyIncomeInr: application.monthly_income_inr,
    loanAmountInr: application.loan_amount_inr,
    loanType: application.loan_type,
  };
}
