import fc from 'fast-check';
import { expect, test } from 'vitest';
import { applicationStatuses } from './application.ts';
import { sha256 } from './canonical.ts';
import { type ChainedEvent, canonicalAroundTime, eventKinds, hashOfDecision, hashOfEvent } from './event-chain.ts';

const text = fc.string({ unit: 'grapheme', maxLength: 40 });
const hash = fc.stringMatching(/^[0-9a-f]{64}$/);
const anyEvent: fc.Arbitrary<ChainedEvent> = fc.record({
  id: fc.uuid(),
  applicationId: fc.uuid(),
  version: fc.integer({ min: 1, max: 9 }),
  kind: fc.constantFrom(...eventKinds),
  status: fc.constantFrom(...applicationStatuses),
  actor: text,
  reasons: fc.array(fc.record({ code: text, message: text }), { maxLength: 3 }),
  payload: fc.record({ cibilScore: fc.option(fc.integer({ min: 300, max: 900 })) }, { requiredKeys: [] }),
  occurredAt: fc
    .date({ min: new Date(0), max: new Date('9999-12-31T23:59:59.999Z'), noInvalidDate: true })
    .map((date) => date.toISOString()),
  decisionHash: fc.option(hash),
  previousHash: fc.option(hash),
});

const first: ChainedEvent = {
  id: '01890000-0000-7000-8000-000000000001',
  applicationId: '01890000-0000-7000-8000-000000000002',
  version: 1,
  kind: 'STATUS',
  status: 'PENDING',
  actor: 'gateway',
  reasons: [{ message: 'A “sentence”\n', code: 'A' }],
  payload: {},
  occurredAt: '2026-11-27T09:30:00.000Z',
  decisionHash: null,
  previousHash: null,
};

test('the canonical form never changes: stored hashes were made with it', () => {
  const canonical =
    '{"actor":"gateway","applicationId":"01890000-0000-7000-8000-000000000002","decisionHash":null,"form":"prequal-event-1",' +
    '"id":"01890000-0000-7000-8000-000000000001","kind":"STATUS","occurredAt":"2026-11-27T09:30:00.000Z","payload":{},' +
    '"previousHash":null,"reasons":[{"code":"A","message":"A “sentence”\\n"}],"status":"PENDING","version":1}';
  expect(hashOfEvent(first)).toBe(sha256(canonical));
  const decision = {
    applicationId: first.applicationId,
    version: 2,
    outcome: 'REJECTED',
    decidedBy: 'POLICY',
    policyVersion: 'seed-1',
    policyHash: 'abc',
    inputs: { monthlyIncomeInr: '1.00', loanAmountInr: '2.00' },
    bureauReport: { result: 'SCORED', score: 600, bureau: 'simulated' },
    reasons: [{ code: 'A', message: 'b' }],
    decidedAt: '2026-11-27T09:30:00.000Z',
  } as const;
  expect(hashOfDecision(decision)).toBe(
    sha256(
      '{"applicationId":"01890000-0000-7000-8000-000000000002","bureauReport":{"bureau":"simulated","result":"SCORED","score":600},' +
        '"decidedAt":"2026-11-27T09:30:00.000Z","decidedBy":"POLICY","form":"prequal-decision-1",' +
        '"inputs":{"loanAmountInr":"2.00","monthlyIncomeInr":"1.00"},"outcome":"REJECTED","policyHash":"abc",' +
        '"policyVersion":"seed-1","reasons":[{"code":"A","message":"b"}],"version":2}',
    ),
  );
});

test('a row of the database hashes as what was written, whatever else it carries and in whatever order', () => {
  fc.assert(
    fc.property(anyEvent, (event) => {
      const row = Object.fromEntries([...Object.entries(event), ['hash', 'x']].toReversed());
      expect(hashOfEvent(row as ChainedEvent)).toBe(hashOfEvent(event));
    }),
  );
});

test('any other member is another hash', () => {
  fc.assert(
    fc.property(anyEvent, anyEvent, (event, other) => {
      for (const key of Object.keys(event) as (keyof ChainedEvent)[]) {
        const changed = { ...event, [key]: other[key] };
        const isSame = JSON.stringify(changed[key]) === JSON.stringify(event[key]);
        expect(hashOfEvent(changed) === hashOfEvent(event), key).toBe(isSame);
      }
    }),
  );
});

test('the database, which puts the time in, hashes the same text', () => {
  fc.assert(
    fc.property(anyEvent, fc.constantFrom('"occurredAt":""', '\\', '"', ''), (event, trap) => {
      const whole = { ...event, actor: event.actor + trap };
      const { before, after } = canonicalAroundTime(whole);
      expect(sha256(before + event.occurredAt + after)).toBe(hashOfEvent(whole));
    }),
  );
});
