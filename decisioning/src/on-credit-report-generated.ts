import { toMessage, UnknownApplicationError } from '@prequal/messaging';
import {
  type Database,
  givenUp,
  lastEventHash,
  type NewDecision,
  type Relay,
  recordDecisions,
  type ShadowVerdict,
  sql,
} from '@prequal/persistence';
import { policyInputOf } from '@prequal/policy';
import { createEvent, type DecisionOutcome, type EventOf } from '@prequal/schema';
import { childOf, type Logger, type Trace } from '@prequal/service';
import { type ChosenPolicies, chosenPolicies, type Policies } from './policies.ts';

export type DecisioningDeps = {
  database: Database;
  relay: Relay;
  newId: () => string;
  log: Logger;
  policies: Policies;
  /** told of each decision that was written, tests of the system itself left out */
  observe: (outcome: DecisionOutcome, secondsSinceSubmitted: number, shadow: ShadowVerdict | undefined) => void;
};

/** how often an application is read and decided on that changes meanwhile, before its message is tried again later */
const maxRounds = 3;

type ReportGenerated = EventOf<'creditReportGenerated'>;

/**
 * Credit reports arrived: decides on every application that is still PENDING, or that the system had given up,
 * and records all decisions in one statement. What was decided before, by an earlier delivery or by a
 * person, stays as it is.
 */
export async function onCreditReportsGenerated(
  deps: DecisioningDeps,
  reports: readonly ReportGenerated[],
  rounds = maxRounds,
): Promise<(undefined | Error)[]> {
  const stored = await findApplications(deps.database, reports);
  const trying = new Map<string, Promise<Decided>>();
  const outcomes = await Promise.all(
    reports.map(async (report) => {
      const application = stored.get(report.subject);
      if (!application) return new UnknownApplicationError('no application with the id of this report');
      if (!isOpen(application) || trying.has(application.id)) return undefined;
      const decision = decideOn(deps, application, report);
      trying.set(application.id, decision);
      return decision.then(() => undefined, asError);
    }),
  );
  const tried = await Promise.allSettled(trying.values());
  const decided = tried.flatMap((decision) => (decision.status === 'fulfilled' ? decision.value : []));
  const written = await recordDecisions(deps.database, decided);
  const announced = decided.filter((decision) => written.has(decision.applicationId));
  deps.relay.send(announced.map((decision) => decision.message));
  for (const { application, outcome, shadow, trace, decidedAt } of announced) {
    if (!application.synthetic) {
      deps.observe(outcome, (decidedAt.getTime() - new Date(application.created_at).getTime()) / 1_000, shadow);
    }
    deps.log.info({ applicationId: application.id, status: outcome, ...trace }, 'application decided');
  }
  const missed = new Set(decided.map((decision) => decision.applicationId)).difference(written);
  if (missed.size === 0) return outcomes;
  // Something else happened to these meanwhile, e.g. their dead letter, which leaves them open: look again.
  const again = reports.filter(({ subject }) => missed.has(subject));
  const later = (
    rounds > 1 ? await onCreditReportsGenerated(deps, again, rounds - 1) : again.map(changedAgain)
  ).values();
  return reports.map((report, index) => (missed.has(report.subject) ? later.next().value : outcomes[index]));
}

function changedAgain(): Error {
  return new Error(`the application was changed ${maxRounds} times while it was being decided on`);
}

function isOpen({ status, given_up }: StoredApplication): boolean {
  return status === 'PENDING' || given_up;
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error('the policy threw a value that is no Error');
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

type Decided = NewDecision & { application: StoredApplication; trace: Trace };

async function decideOn(
  { policies, newId }: DecisioningDeps,
  application: StoredApplication,
  generated: ReportGenerated,
): Promise<Decided> {
  const { report } = generated.data;
  const inputs = inputsOf(application);
  const input = policyInputOf({ inputs, bureauReport: report });
  if (!input) throw new Error('what is stored of the application is no input of a policy');
  const { ACTIVE: active, SHADOW: beside } = application.policies;
  const [verdict, shadow] = await Promise.all([
    policies.decide(active, input),
    beside && policies.shadow(beside, input),
  ]);
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
    shadow,
    cibilScore,
    inputs,
    report,
    decidedAt,
    message: toMessage('statusChanged', event),
    application,
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
