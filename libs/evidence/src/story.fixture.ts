import { loadPolicy, shippedPolicies } from '@prequal/policy';
import { type ChainedEvent, type DecisionRecord, type Evidence, hashOfDecision, hashOfEvent } from '@prequal/schema';

const id = '01890000-0000-7000-8000-000000000001';
const stated = { monthlyIncomeInr: '10000.00', loanAmountInr: '500000.00', loanType: 'HOME' } as const;
const consent = {
  purpose: 'CREDIT_ASSESSMENT',
  noticeVersion: '2',
  language: 'en-IN',
  givenAt: '2026-11-27T08:59:00.000Z',
};
const at = (minute: number) => `2026-11-27T09:${String(minute).padStart(2, '0')}:00.000Z`;

/** Given up by the system, replayed, referred by the policy, approved by a person, erased. */
export async function story(): Promise<Evidence> {
  const [seed] = shippedPolicies();
  if (!seed) throw new Error('a policy is shipped');
  const policy = loadPolicy(seed.document);
  const verdict = await policy.evaluate({
    score: 700,
    monthlyIncomePaise: 1_000_000,
    loanAmountPaise: 50_000_000,
    loanType: 'HOME',
  });
  const byPolicy = { policyVersion: seed.version, policyHash: policy.hash };
  const made = (version: number, decision: Omit<DecisionRecord, 'applicationId' | 'version' | 'decidedAt'>) => ({
    applicationId: id,
    version,
    ...decision,
    decidedAt: at(version),
  });
  const decisions: DecisionRecord[] = [
    made(2, {
      outcome: 'MANUAL_REVIEW',
      decidedBy: 'SYSTEM',
      policyVersion: null,
      policyHash: null,
      inputs: { deadLetterId: id, errorClass: 'HANDLER_FAILED' },
      bureauReport: null,
      reasons: [{ code: 'PROCESSING_FAILED', message: 'An underwriter looks at it.' }],
    }),
    made(3, {
      ...verdict,
      ...byPolicy,
      decidedBy: 'POLICY',
      inputs: stated,
      bureauReport: { result: 'SCORED', score: 700, bureau: 'simulated' },
    }),
    made(4, {
      ...byPolicy,
      outcome: 'PRE_APPROVED',
      decidedBy: 'UNDERWRITER',
      inputs: {},
      bureauReport: null,
      reasons: [{ code: 'INCOME_VERIFIED', message: 'Salary slips “seen”.' }],
    }),
  ];
  const score = [null, null, 700, 700];
  const actors = ['gateway', 'decisioning', 'decisioning', 'underwriter:asha'];
  const changes = actors.map((actor, index): Omit<ChainedEvent, 'previousHash'> => {
    const decision = decisions[index - 1];
    return {
      id: `01890000-0000-7000-8000-0000000001${index}0`,
      applicationId: id,
      version: index + 1,
      kind: 'STATUS',
      status: decision?.outcome ?? 'PENDING',
      actor,
      reasons: decision?.reasons ?? [],
      payload: decision ? { cibilScore: score[index] ?? null } : { ...stated, consent },
      occurredAt: decision?.decidedAt ?? at(1),
      decisionHash: decision ? hashOfDecision(decision) : null,
    };
  });
  const erasure = {
    ...changes[3],
    id: '01890000-0000-7000-8000-000000000200',
    kind: 'ERASURE',
    actor: 'auditor:noor',
    reasons: [{ code: 'APPLICANT_ERASED', message: 'Asked for.' }],
    payload: {},
    occurredAt: at(9),
    decisionHash: null,
  } as Omit<ChainedEvent, 'previousHash'>;
  const events: Evidence['events'] = [];
  for (const change of [...changes, erasure]) {
    const event = { ...change, previousHash: events.at(-1)?.hash ?? null };
    events.push({ ...event, hash: hashOfEvent(event) } as Evidence['events'][number]);
  }
  const { version, document } = seed;
  return {
    application: {
      id,
      ...stated,
      consent: { ...consent },
      status: 'PRE_APPROVED',
      cibilScore: 700,
      version: 4,
      createdAt: at(1),
      eventHash: events.at(-1)?.hash ?? null,
      erased: true,
    },
    events,
    decisions: decisions as Evidence['decisions'],
    policies: [{ version, hash: policy.hash, document }],
  };
}
