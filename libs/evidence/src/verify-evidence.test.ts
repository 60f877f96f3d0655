import { openEvaluator } from '@prequal/policy';
import { type Evidence, hashOfDecision, hashOfEvent } from '@prequal/schema';
import { afterAll, expect, test } from 'vitest';
import { recomputing } from './recompute.ts';
import { story } from './story.fixture.ts';
import { verifyEvidence } from './verify-evidence.ts';

const evaluator = openEvaluator(recomputing);
afterAll(() => evaluator[Symbol.asyncDispose]());

type Changeable = { -readonly [Key in keyof Evidence]: Evidence[Key] };

/** As a forger who knows the canonical form would: every hash is made anew, from the first event to the last. */
function rechained(evidence: Changeable): void {
  let previousHash: string | null = null;
  for (const event of evidence.events) {
    const decision = evidence.decisions.find(({ version }) => event.kind === 'STATUS' && version === event.version);
    Object.assign(event, { previousHash, decisionHash: decision ? hashOfDecision(decision) : null });
    event.hash = hashOfEvent(event);
    previousHash = event.hash;
  }
  evidence.application.eventHash = previousHash;
}

const faults: [string, (evidence: Changeable) => void, string][] = [
  [
    'a changed event',
    ({ events }) => Object.assign(events[1] ?? {}, { actor: 'x' }),
    'version 2 (MANUAL_REVIEW) was changed after',
  ],
  [
    'the last event changed',
    ({ events }) => Object.assign(events[4] ?? {}, { actor: 'x' }),
    '(erasure) was changed after',
  ],
  ['a removed event', ({ events }) => events.splice(1, 1), 'does not follow the one stored before it'],
  ['the first event removed', ({ events }) => events.shift(), 'is not the first one that was written'],
  ['the last event removed', ({ events }) => events.pop(), 'removed or added at the end'],
  [
    'an event inserted',
    ({ events }) => events.splice(2, 0, structuredClone(events[1] as never)),
    'removed, inserted or',
  ],
  [
    'two events exchanged',
    ({ events }) => events.splice(1, 2, events[2] as never, events[1] as never),
    'removed, inserted or',
  ],
  ['no event at all', ({ events }) => events.splice(0), 'The history is empty'],
  [
    'a status nobody decided',
    ({ application }) => Object.assign(application, { status: 'REJECTED' }),
    'but its history ends with',
  ],
  ['a removed decision', ({ decisions }) => decisions.splice(1, 1), 'No decision is stored for version 3'],
  [
    'an added decision',
    ({ decisions }) => decisions.push({ ...(decisions[2] as never as object), version: 5 } as never),
    'which the history does not have',
  ],
  [
    'a changed report',
    ({ decisions }) => Object.assign(decisions[1]?.bureauReport ?? {}, { score: 701 }),
    'not the one that its event was written with',
  ],
  ['an unknown policy', (evidence) => evidence.policies.splice(0), 'is unknown'],
  [
    'a changed policy',
    ({ policies }) => Object.assign(policies[0] ?? {}, { document: policies[0]?.document.replace('650', '640') }),
    'it does not have the hash',
  ],
  [
    'an outcome forged with all its hashes',
    (evidence) => {
      for (const one of [evidence.decisions[1], evidence.events[2]]) {
        Object.assign(one ?? {}, { [one && 'status' in one ? 'status' : 'outcome']: 'PRE_APPROVED' });
      }
      rechained(evidence);
    },
    'is PRE_APPROVED, recomputed it is MANUAL_REVIEW',
  ],
  [
    'a reason forged with all its hashes',
    (evidence) => {
      const reasons = [{ code: 'INCOME_INSUFFICIENT', message: 'Your income does not suffice.' }];
      for (const one of [evidence.decisions[1], evidence.events[2]]) Object.assign(one ?? {}, { reasons });
      rechained(evidence);
    },
    'has other reasons than when it is recomputed',
  ],
  [
    'other figures, with all hashes',
    (evidence) => {
      Object.assign(evidence.application, { loanAmountInr: '100.00' });
      rechained(evidence);
    },
    'not those that were submitted',
  ],
  [
    'another consent',
    ({ application }) => Object.assign(application.consent ?? {}, { purpose: 'MARKETING' }),
    'not those that were submitted',
  ],
];

test.for(faults)('finds %s', async ([, change, expected]) => {
  const evidence = await story();
  expect(await verifyEvidence(evidence, evaluator)).toMatchObject({ intact: true });
  change(evidence);
  const { intact, findings } = await verifyEvidence(evidence, evaluator);
  expect(findings.join('\n')).toContain(expected);
  expect(intact).toBe(false);
});

test('of a decision by the policy that is as it was made, nothing is said', async () => {
  const evidence = await story();
  evidence.decisions.splice(2);
  evidence.decisions.shift();
  evidence.events.splice(3);
  evidence.events.splice(1, 1);
  Object.assign(evidence.events[1] ?? {}, { version: 2 });
  Object.assign(evidence.decisions[0] ?? {}, { version: 2 });
  Object.assign(evidence.application, { status: 'MANUAL_REVIEW', version: 2, erased: false });
  rechained(evidence);
  expect(await verifyEvidence(evidence, evaluator)).toEqual({ intact: true, findings: [] });
});

test.for([
  ['no payload', { payload: null }],
  ['a score beyond all numbers', { payload: { cibilScore: Number.POSITIVE_INFINITY } }],
  ['a status that there is not', { status: 'LOST' }],
])('an event with %s is found, and nothing fails for it', async ([, change]) => {
  const changed = await story();
  Object.assign(changed.events[1] ?? {}, change);
  const { intact, findings } = await verifyEvidence(changed, evaluator);
  expect(intact).toBe(false);
  expect(findings).toEqual([expect.stringContaining('events.1.')]);
});
