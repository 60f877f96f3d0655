import { toMessage, UnknownApplicationError } from '@prequal/messaging';
import { type Database, givenUp, lastEventHash, type NewDecision, type Relay, sql } from '@prequal/persistence';
import { type PolicyInput, policyInputOf } from '@prequal/policy';
import { createEvent, type DecisionOutcome, type EventOf } from '@prequal/schema';
import { childOf, type Logger, type Trace } from '@prequal/service';
import { type ChosenPolicies, chosenPolicies, type Policies } from './policies.ts';
import type { RecordDecision } from './record-together.ts';
import type { Shadow } from './shadow.ts';

export type DecisioningDeps = {
  database: Database;
  relay: Relay;
  newId: () => string;
  log: Logger;
  policies: Policies;
  shadow: Pick<Shadow, 'compare'>;
  record: RecordDecision;
  /** told of each decision that was written, tests of the system itself left out */
  observe: (outcome: DecisionOutcome, secondsSinceSubmitted: number) => void;
};

type ReportGenerated = EventOf<'creditReportGenerated'>;

/** how often an application is read and decided on that changes meanwhile, before its message is tried again later */
const maxRounds = 3;

/**
 * Credit reports arrived: reads their applications together, and decides on each that is still PENDING, or that the
 * system had given up. What was decided before, by an earlier delivery or by a person, stays as it is. Each has a
 * promise of its own: one that the policy does not answer about soon holds up no other.
 */
export async function onCreditReportsGenerated(
  deps: DecisioningDeps,
  reports: readonly ReportGenerated[],
): Promise<Promise<undefined>[]> {
  const stored = await findApplications(deps.database, reports);
  const trying = new Map<string, Promise<undefined>>();
  return reports.map(async (report) => {
    const application = stored.get(report.subject);
    if (!application) throw new UnknownApplicationError('no application with the id of this report');
    if (!isOpen(application)) return undefined;
    const decision = trying.get(application.id) ?? decideAndTell(deps, application, report);
    trying.set(application.id, decision);
    return decision;
  });
}

async function decideAndTell(
  deps: DecisioningDeps,
  application: StoredApplication,
  report: ReportGenerated,
): Promise<undefined> {
  let current: StoredApplication | undefined = application;
  for (let round = 1; current && isOpen(current); round += 1) {
    if (round > maxRounds) throw new Error(`the application changed ${maxRounds} times while it was decided on`);
    const decision = await decideOn(deps, current, report);
    if (await deps.record(decision)) return tell(deps, decision);
    // Something else happened to it meanwhile, e.g. its dead letter, which leaves it open: look again.
    current = (await findApplications(deps.database, [report])).get(report.subject);
  }
  return undefined;
}

function tell({ relay, shadow, observe, log }: DecisioningDeps, decided: Decided): undefined {
  const { application, input, outcome, trace, decidedAt, message } = decided;
  const { id: applicationId, synthetic } = application;
  relay.send([message]);
  if (!synthetic) observe(outcome, (decidedAt.getTime() - new Date(application.created_at).getTime()) / 1_000);
  log.info({ applicationId, status: outcome, ...trace }, 'application decided');
  const beside = application.policies.SHADOW;
  if (beside) shadow.compare(beside, { applicationId, version: decided.version + 1, outcome, input, synthetic });
}

function isOpen({ status, given_up }: StoredApplication): boolean {
  return status === 'PENDING' || given_up;
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
  policies: ChosenPolicies;
  /** the database's clock, so that every process tells the same time */
  now: string;
};

async function findApplications(
  database: Database,
  reports: readonly ReportGenerated[],
): Promise<Map<string, StoredApplication>> {
  const ids = reports.map((report) => report.subject);
  const { rows } = await sql<StoredApplication>`
    select id, status, ${givenUp()} as given_up, version, ${lastEventHash()} as event_hash, monthly_income_inr,
      loan_amount_inr, loan_type, synthetic, created_at, now()::timestamptz(3) as now, ${chosenPolicies()} as policies
    from applications a where id = any(${ids}::uuid[])`.execute(database.sql());
  return new Map(rows.map((row) => [row.id, row]));
}

type Decided = NewDecision & { application: StoredApplication; input: PolicyInput; trace: Trace };

async function decideOn(
  { policies, newId }: DecisioningDeps,
  application: StoredApplication,
  generated: ReportGenerated,
): Promise<Decided> {
  const { report } = generated.data;
  const inputs = inputsOf(application);
  const input = policyInputOf({ inputs, bureauReport: report });
  if (!input) throw new Error('what is stored of the application is no input of a policy');
  const { ACTIVE: active } = application.policies;
  const verdict = await policies.decide(active, input);
  const cibilScore = input.score;
  const decidedAt = new Date(application.now);
  const trace = { correlationId: generated.correlationid, traceparent: childOf(generated.traceparent) };
  const event = createEvent('statusChanged', {
    id: newId(),
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
    policy: active,
    cibilScore,
    inputs,
    report,
    decidedAt,
    message: toMessage('statusChanged', event),
    application,
    input,
    trace,
  };
}

/** What the policy saw: with the report it is the evidence from which the decision can be made again. */
function inputsOf(application: StoredApplication): Record<string, string> {
  return {
    monthlyIncomeInr: application.monthly_income_inr,
    loanAmountInr: application.loan_amount_inr,
    loanType: application.loan_type,
  };
}
