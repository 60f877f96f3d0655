import type { Facts } from './facts.ts';
import { expectedOutcome, expectedScore } from './oracle.ts';

/** `who` is an application's id or a client's key when there is one: the history tells the rest. */
export type Violation = { invariant: string; who: string; what: string };

type Found = Omit<Violation, 'invariant'>;
type Invariant = { name: string; find: (facts: Facts) => Found[] };

const isFinal = (status: string) => status === 'PRE_APPROVED' || status === 'REJECTED';

/** What must hold of the clients' and the servers' memories taken together, whatever had failed. */
export const invariants: readonly Invariant[] = [
  { name: 'every submission is acknowledged once all has healed', find: unacknowledged },
  { name: 'clients get no other error than UNAVAILABLE', find: wrongAnswers },
  { name: 'what was acknowledged is stored as it was sent', find: notStored },
  { name: 'one key, one application', find: notOnePerKey },
  { name: 'every application is decided', find: undecided },
  { name: 'decided once, as the oracle decides', find: wronglyDecided },
  { name: 'versions without gaps, and a final status is the last', find: brokenHistories },
  { name: 'every history is an unbroken chain', find: brokenChains },
  { name: 'watchers see only what happened, in order, without gaps', find: wrongUpdates },
  { name: 'every watcher sees the end', find: watchersWithoutEnd },
  { name: 'dead letters are the planted ones', find: wrongDeadLetters },
];

export function checkInvariants(facts: Facts): Violation[] {
  return invariants.flatMap(({ name, find }) => find(facts).map((found) => ({ invariant: name, ...found })));
}

function unacknowledged({ submissions }: Facts): Found[] {
  return submissions
    .filter(({ acknowledged }) => acknowledged.length === 0)
    .map(({ input, attempts }) => ({ who: input.idempotencyKey, what: `not acknowledged after ${attempts} attempts` }));
}

function wrongAnswers({ submissions }: Facts): Found[] {
  return submissions.flatMap(({ input, wrongAnswers: wrong }) =>
    wrong.map((answer) => ({ who: input.idempotencyKey, what: answer })),
  );
}

function notStored({ submissions, applications }: Facts): Found[] {
  return submissions.flatMap(({ input, acknowledged }) =>
    acknowledged.flatMap(({ id }) => {
      const stored = applications.get(id);
      if (!stored) return { who: id, what: `acknowledged for ${input.idempotencyKey} and not in the database` };
      const same =
        stored.income === input.monthlyIncomeInr &&
        stored.amount === input.loanAmountInr &&
        stored.loanType === input.loanType;
      return same ? [] : { who: id, what: 'another input is stored than was sent' };
    }),
  );
}

function notOnePerKey({ submissions, applications }: Facts): Found[] {
  const found = submissions.flatMap(({ input, acknowledged }) => {
    const ids = new Set(acknowledged.map(({ id }) => id));
    return ids.size > 1 ? { who: input.idempotencyKey, what: `became ${[...ids].join(', ')}` } : [];
  });
  const acknowledged = new Set(submissions.flatMap(({ acknowledged: acks }) => acks.map(({ id }) => id)));
  const stored = [...applications.keys()].filter((id) => !acknowledged.has(id));
  // A submission whose answer was lost is acknowledged by a later attempt with the same key.
  const unanswered = submissions.filter(({ acknowledged: acks }) => acks.length === 0).length;
  if (stored.length > unanswered) {
    found.push({ who: stored[0] ?? '', what: `${stored.length} applications are stored that no client knows` });
  }
  return found;
}

function undecided({ applications }: Facts): Found[] {
  return [...applications.values()]
    .filter(({ status }) => status === 'PENDING')
    .map(({ id }) => ({ who: id, what: 'still PENDING' }));
}

function wronglyDecided({ submissions, applications, decisions }: Facts): Found[] {
  return submissions.flatMap(({ input, deed, acknowledged }): Found[] => {
    const stored = applications.get(acknowledged[0]?.id ?? '');
    if (!stored || stored.status === 'PENDING') return [];
    const who = stored.id;
    const made = decisions.get(who) ?? [];
    const byPolicy = made.filter(({ decidedBy }) => decidedBy === 'POLICY');
    const bySystem = made.filter(({ decidedBy }) => decidedBy === 'SYSTEM');
    const mayFail = deed !== undefined && deed !== 'noHistory';
    const counted = `${byPolicy.length} decisions of the policy, ${bySystem.length} of the system`;
    // What the system had given up may still be decided, once its handler works again.
    const wellCounted = mayFail
      ? byPolicy.length <= 1 && bySystem.length <= 1 && made.length > 0
      : byPolicy.length === 1 && made.length === 1;
    if (!wellCounted) return [{ who, what: counted }];
    if (byPolicy.length === 0) {
      return stored.status === 'MANUAL_REVIEW' ? [] : [{ who, what: `given up, and ${stored.status}` }];
    }
    const range = expectedScore(input);
    const scoreIsRight =
      range === null ? stored.score === null : (stored.score ?? 0) >= range.min && (stored.score ?? 0) <= range.max;
    if (!scoreIsRight) return [{ who, what: `the score ${stored.score} is not what the rules allow` }];
    const expected = expectedOutcome(input, stored.score);
    if (byPolicy[0]?.outcome === expected && stored.status === expected) return [];
    return [{ who, what: `${stored.status} instead of ${expected} (score ${stored.score})` }];
  });
}

function brokenHistories({ applications, events }: Facts): Found[] {
  return [...applications.values()].flatMap(({ id, status, version }): Found[] => {
    const history = events.get(id) ?? [];
    const versions = history.map((event) => event.version);
    if (versions.some((each, index) => each !== index + 1) || versions.length !== version) {
      return [{ who: id, what: `version ${version}, history ${versions.join(', ')}` }];
    }
    if (history.at(-1)?.status !== status) return [{ who: id, what: `${status}, but the history ends otherwise` }];
    const finalAt = history.findIndex((event) => isFinal(event.status));
    return finalAt >= 0 && finalAt < history.length - 1 ? [{ who: id, what: 'a final status was changed' }] : [];
  });
}

function brokenChains({ applications, events }: Facts): Found[] {
  return [...applications.values()].flatMap(({ id, eventHash }): Found[] => {
    const history = events.get(id) ?? [];
    const changed = history.find(({ isSound }) => !isSound);
    if (changed) return [{ who: id, what: `the event of version ${changed.version} does not have its hash` }];
    const loose = history.find(({ previousHash }, index) => previousHash !== (history[index - 1]?.hash ?? null));
    if (loose) return [{ who: id, what: `the event of version ${loose.version} does not follow the one before it` }];
    return history.at(-1)?.hash === eventHash ? [] : [{ who: id, what: 'the last event is not its newest' }];
  });
}

function wrongUpdates({ watchers, events }: Facts): Found[] {
  return watchers.flatMap(({ id, transport, after, updates }): Found[] => {
    const history = events.get(id) ?? [];
    const versions = updates.map(({ version }) => version);
    const says = `a watcher over ${transport} with after ${after} saw ${versions.join(', ')}`;
    const first = after === undefined ? versions[0] : after + 1;
    if (versions.some((version, index) => version !== (first ?? 1) + index)) return [{ who: id, what: says }];
    const unknown = updates.some(({ version, status }) => history[version - 1]?.status !== status);
    return unknown ? [{ who: id, what: `${says}: a status that is not in the history` }] : [];
  });
}

function watchersWithoutEnd({ watchers, applications }: Facts): Found[] {
  return watchers.flatMap(({ id, transport, updates, end, after }): Found[] => {
    const stored = applications.get(id);
    const last = updates.at(-1);
    const who = id;
    const saw = `${transport}, last version ${last?.version ?? after ?? 'none'}`;
    if (end.startsWith('error')) return [{ who, what: `${saw}: ${end}` }];
    if (end === 'complete' && last?.final !== true) return [{ who, what: `${saw}: completed before the final status` }];
    if (last?.final !== undefined && last.final !== isFinal(last.status)) {
      return [{ who, what: `${saw}: final is ${last.final} with ${last.status}` }];
    }
    if (stored && (last?.version ?? after ?? 0) < stored.version) {
      return [{ who, what: `${saw}: never saw version ${stored.version}, ${stored.status}` }];
    }
    return end === 'complete' || !stored || !isFinal(stored.status) ? [] : [{ who, what: `${saw}: was not completed` }];
  });
}

const classesOfDeeds: Record<string, readonly string[]> = {
  throws: ['HANDLER_FAILED'],
  exits: ['HANDLER_UNFINISHED'],
  blocks: ['HANDLER_UNFINISHED'],
};

function wrongDeadLetters({ deadLetters, planted, submissions, lostMessagesAtMs }: Facts): Found[] {
  const deeds = new Map(submissions.map(({ acknowledged, deed }) => [acknowledged[0]?.id, deed]));
  const found: Found[] = [];
  for (const { subject, applicationId, errorClass, consumer } of deadLetters) {
    const deed = deeds.get(applicationId ?? '');
    const expected = deed === undefined ? [] : (classesOfDeeds[deed] ?? []);
    const wasPlanted = planted.some((poison) => poison.subject === subject && poison.errorClass === errorClass);
    if (!expected.includes(errorClass) && !wasPlanted) {
      found.push({ who: applicationId ?? subject, what: `${errorClass} from ${consumer} was not planted` });
    }
  }
  for (const { subject, errorClass, atMs } of planted) {
    // A stream that lost what it held has lost the poison as well, and nobody misses it.
    if (lostMessagesAtMs !== undefined && atMs < lostMessagesAtMs) continue;
    const recorded = deadLetters.some((one) => one.subject === subject && one.errorClass === errorClass);
    if (!recorded) found.push({ who: subject, what: `planted, and no dead letter ${errorClass}` });
  }
  return found;
}
