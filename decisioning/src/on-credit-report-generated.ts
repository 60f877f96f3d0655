import { toMessage } from '@prequal/messaging';
import { type Database, type Relay, sql } from '@prequal/persistence';
import { type BureauReport, createEvent, type DecisionOutcome, type EventOf, parsePaise } from '@prequal/schema';
import { childOf, type Logger, type Trace } from '@prequal/service';
import { decide, type Verdict } from './decide.ts';
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

/** The report is about an application that is not in the database: its transaction may not be visible yet. */
class UnknownApplicationError extends Error {
  override readonly name = 'UnknownApplicationError';
}

/**
 * Credit reports arrived: decides on every application that is still PENDING and writes status, decision,
 * event and outbox for all of them in one statement. What is no longer PENDING was decided before, by an
 * earlier delivery or by a person, and stays as it is.
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
    if (application.status === 'PENDING' && !decided.has(application.id)) {
      decided.set(application.id, decideOn(application, report, deps.newId()));
    }
    return undefined;
  });
  const written = await write(deps.database, [...decided.values()]);
  deps.relay.send(written.map((decision) => decision.message));
  for (const { application, outcome, trace, decidedAt } of written) {
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
  version: number;
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
    select id, status, version, monthly_income_inr, loan_amount_inr, loan_type, synthetic, created_at, now()::timestamptz(3) as now
    from applications where id = any(${ids}::uuid[])`.execute(database.sql());
  return new Map(rows.map((row) => [row.id, row]));
}

type Decided = Verdict & {
  application: StoredApplication;
  report: BureauReport;
  cibilScore: number | null;
  decidedAt: Date;
  trace: Trace;
  message: ReturnType<typeof toMessage>;
};

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
  return { ...verdict, application, report, cibilScore, decidedAt, trace, message: toMessage('statusChanged', event) };
}

function storedPaise(rupees: string): number {
  const paise = parsePaise(rupees);
  if (paise === undefined) throw new Error('a stored amount is not a positive number with two fraction digits');
  return paise;
}

/**
 * All or nothing, in one round trip. Rows are locked in the order of their ids, so that two workers with
 * the same applications in hand wait for each other instead of deadlocking. Answers what was really
 * written: the guard on status and version leaves out what another worker decided meanwhile.
 */
async function write(database: Database, decisions: readonly Decided[]): Promise<Decided[]> {
  if (decisions.length === 0) return [];
  const column = <T>(of: (decision: Decided) => T): T[] => decisions.map(of);
  const { rows } = await sql<{ id: string }>`
    with input as (
      select * from unnest(
        ${column((d) => d.application.id)}::uuid[],
        ${column((d) => d.application.version)}::integer[],
        ${column((d) => d.outcome)}::text[],
        ${column((d) => d.cibilScore)}::integer[],
        ${column((d) => JSON.stringify(d.reasons))}::jsonb[],
        ${column((d) => JSON.stringify(inputsOf(d)))}::jsonb[],
        ${column((d) => JSON.stringify(d.report))}::jsonb[],
        ${column((d) => d.decidedAt.toISOString())}::timestamptz[],
        ${column((d) => d.message.id)}::uuid[],
        ${column((d) => d.message.subject)}::text[],
        ${column((d) => d.message.message)}::text[]
      ) as t (id, version, outcome, cibil_score, reasons, inputs, report, decided_at, event_id, subject, message)
    ), locked as (
      select id from applications where id = any(select id from input) order by id for update
    ), updated as (
      update applications a set status = i.outcome, cibil_score = i.cibil_score, version = a.version + 1
      from input i join locked using (id)
      where a.id = i.id and a.status = 'PENDING' and a.version = i.version
      returning a.id, a.version
    ), decided as (
      insert into decisions (application_id, outcome, decided_by, policy_version, policy_hash, inputs, bureau_report, reasons, decided_at)
      select id, outcome, 'POLICY', ${policyVersion}, ${policyHash}, inputs, report, reasons, decided_at
      from input join updated using (id)
    ), recorded as (
      insert into application_events (id, application_id, version, status, actor, reasons, payload, occurred_at)
      select event_id, id, updated.version, outcome, 'decisioning', reasons,
        jsonb_build_object('cibilScore', cibil_score), decided_at
      from input join updated using (id)
    ), queued as (
      insert into outbox (id, application_id, subject, message)
      select event_id, id, subject, message from input join updated using (id)
    )
    select id from updated`.execute(database.sql());
  const written = new Set(rows.map((row) => row.id));
  return decisions.filter((decision) => written.has(decision.application.id));
}

/** What the policy saw: with the report it is the evidence from which the decision can be made again. */
function inputsOf({ application }: Decided): Record<string, string> {
  return {
    monthlyIncomeInr: application.monthly_income_inr,
    loanAmountInr: application.loan_amount_inr,
    loanType: application.loan_type,
  };
}
