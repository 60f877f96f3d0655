import { canonical, type Evidence, hashOfEvent } from '@prequal/schema';
import { type Finding, fault, unless } from './finding.ts';

type Event = Evidence['events'][number];

/** Whether the history is the one that was written, from its first event to the one that the application is at. */
export function checkHistory(evidence: Evidence): Finding[] {
  if (evidence.events.length === 0) return [fault('The history is empty: its events were removed.')];
  return [...evidence.events.flatMap((event, index) => checkEvent(evidence, event, index)), ...checkEnds(evidence)];
}

function checkEvent({ application, events }: Evidence, event: Event, index: number): Finding[] {
  const name = nameOf(event);
  const before = events[index - 1];
  const changes = events.slice(0, index).filter(isChange).length;
  const due = isChange(event) ? changes + 1 : changes;
  return [
    ...unless(event.applicationId === application.id, `${name} belongs to another application.`),
    ...unless(
      hashOfEvent(event) === event.hash,
      `${name} was changed after it was written: its content does not give the hash that is stored with it.`,
    ),
    ...unless(
      event.previousHash === (before?.hash ?? null),
      before
        ? `${name} does not follow the one stored before it, ${nameOf(before)}: one was removed, inserted or replaced there.`
        : `${name} is not the first one that was written: what came before it was removed.`,
    ),
    ...unless(
      event.version === due,
      `${name} stands where version ${due} is due: an event was removed, inserted or moved.`,
    ),
    ...unless((event.status === 'PENDING') === (index === 0), `${name} has a status that it cannot have there.`),
    ...unless(
      isChange(event) || event.status === before?.status,
      `${name} is an erasure, which cannot change the status.`,
    ),
  ];
}

/** That the history begins and ends as the application says. */
function checkEnds({ application, events }: Evidence): Finding[] {
  const first = events[0];
  const last = events.findLast(isChange);
  const { cibilScore: _, ...submitted } = first?.payload ?? {};
  const erasures = events.filter((event) => !isChange(event)).length;
  return [
    ...unless(
      first?.occurredAt === application.createdAt,
      `The application is from ${application.createdAt}, but its history begins at ${first?.occurredAt}.`,
    ),
    ...unless(
      // Histories from before this was written down say nothing about it.
      Object.keys(submitted).length === 0 ||
        canonical(submitted) === canonical({ ...statedIn(application), consent: application.consent ?? undefined }),
      'Income, amount or type of the loan, or the consent, are not those that were submitted.',
    ),
    ...unless(
      last?.status === application.status && last.version === application.version,
      `The application is ${application.status} with version ${application.version}, but its history ends with ${last ? nameOf(last) : 'nothing'}.`,
    ),
    ...unless(
      events.at(-1)?.hash === application.eventHash,
      'The last event is not the one that the application names as its newest: an event was removed or added at the end.',
    ),
    ...unless(
      (last?.payload.cibilScore ?? null) === application.cibilScore,
      `The application has the score ${application.cibilScore}, its last change of status the score ${last?.payload.cibilScore ?? null}.`,
    ),
    ...unless(
      erasures === (application.erased ? 1 : 0),
      application.erased
        ? `The personal data was erased, but ${erasures} events of the history say so.`
        : 'The history says that the personal data was erased, and it was not.',
    ),
  ];
}

export function statedIn({ monthlyIncomeInr, loanAmountInr, loanType }: Evidence['application']) {
  return { monthlyIncomeInr, loanAmountInr, loanType };
}

/** False for an erasure. */
export function isChange({ kind }: Event): boolean {
  return kind === 'STATUS';
}

function nameOf(event: Event): string {
  return `The event of version ${event.version} (${isChange(event) ? event.status : 'erasure'})`;
}
