import type { Evaluator } from '@prequal/policy';
import { canonical, type Evidence, hashOfDecision } from '@prequal/schema';
import { isChange, statedIn } from './check-history.ts';
import { type Finding, fault, note, unless } from './finding.ts';
import { recompute } from './recompute.ts';

type Decision = Evidence['decisions'][number];
type Event = Evidence['events'][number];

/** Whether each change of status was decided as its decision says, and recomputed gives the same again. */
export async function checkDecisions(evidence: Evidence, evaluate: Evaluator['evaluate']): Promise<Finding[]> {
  const { application, decisions } = evidence;
  const changes = evidence.events.filter(isChange);
  const undecided = changes.filter(
    ({ version }) => version > 1 && !decisions.some((decision) => decision.version === version),
  );
  const checked = await Promise.all(
    decisions.map(async (decision, index) => {
      const event = changes.find(({ version }) => version === decision.version);
      if (!event)
        return [fault(`A decision is stored for version ${decision.version}, which the history does not have.`)];
      return [
        ...checkRecord(evidence, decision, event),
        ...checkByMaker(evidence, decision, event, decisions[index - 1]),
        ...(decision.decidedBy === 'POLICY' ? await recompute(decision, evidence.policies, evaluate) : []),
      ];
    }),
  );
  return [
    ...undecided.map(({ version }) => fault(`No decision is stored for version ${version} of the history.`)),
    ...unless(
      new Set(decisions.map(({ version }) => version)).size === decisions.length,
      'Two decisions are stored for one version.',
    ),
    ...checked.flat(),
    ...(application.status === 'PENDING'
      ? [note('The application is still PENDING: only its history was checked, there is no decision to recompute.')]
      : []),
  ];
}

/** That decision and event are of one piece. */
function checkRecord({ application }: Evidence, decision: Decision, event: Event): Finding[] {
  const name = `The decision of version ${decision.version}`;
  return [
    ...unless(decision.applicationId === application.id, `${name} belongs to another application.`),
    ...unless(
      event.decisionHash === hashOfDecision(decision),
      `${name} is not the one that its event was written with: inputs, report, policy, outcome, reasons or time were changed.`,
    ),
    ...unless(
      decision.outcome === event.status &&
        decision.decidedAt === event.occurredAt &&
        canonical(decision.reasons) === canonical(event.reasons),
      `${name} says something else than its event.`,
    ),
  ];
}

function checkByMaker(evidence: Evidence, decision: Decision, event: Event, before: Decision | undefined): Finding[] {
  const name = `The decision of version ${decision.version}`;
  const { decidedBy } = decision;
  switch (decidedBy) {
    case 'POLICY': {
      const score = decision.bureauReport?.result === 'SCORED' ? decision.bureauReport.score : null;
      return [
        ...unless(event.actor === 'decisioning', `${name} is the policy's, but its event names ${event.actor}.`),
        ...unless((event.payload.cibilScore ?? null) === score, `${name} has another score than its event.`),
        ...unless(
          canonical(decision.inputs) === canonical(statedIn(evidence.application)),
          `${name} was made for other figures than the application has: ${canonical(decision.inputs)}.`,
        ),
      ];
    }
    case 'SYSTEM':
      return [
        ...unless(event.actor === 'decisioning', `${name} is the system's, but its event names ${event.actor}.`),
        ...unless(decision.outcome === 'MANUAL_REVIEW', `${name} is the system's, which can only refer to a person.`),
        note(
          `${name} was made by the system, because processing had failed: no policy was asked, so only its record was checked.`,
        ),
      ];
    case 'UNDERWRITER':
      return [
        ...unless(event.actor.startsWith('underwriter:'), `${name} is a person's, but its event names ${event.actor}.`),
        ...unless(
          before?.outcome === 'MANUAL_REVIEW' && decision.outcome !== 'MANUAL_REVIEW',
          `${name} is a person's, who may only end a review.`,
        ),
        ...unless(
          before?.policyVersion === decision.policyVersion && before.policyHash === decision.policyHash,
          `${name} names another policy than the one that referred the application to a person.`,
        ),
        note(
          `${name} was made by ${event.actor}: what a person judged cannot be recomputed, so only its record was checked.`,
        ),
      ];
    default:
      return decidedBy satisfies never;
  }
}
