import { randomBytes } from 'node:crypto';
import { createPanDecrypter, createPanEncrypter, type KeyRing, PanUnreadableError } from '@prequal/pan';
import { createEvent, decodeEvent, type EventOf, encodeEvent, type LoanType } from '@prequal/schema';
import { createLog } from '@prequal/service';
import { describe, expect, test } from 'vitest';
import { simulatedBureau } from './bureau/simulated.ts';
import { onApplicationSubmitted, type ScoringDeps } from './on-application-submitted.ts';

const ring: KeyRing = { currentId: 'test', keys: new Map([['test', randomBytes(32)]]) };
const encryptPan = createPanEncrypter(ring);
const applicationId = '019a0000-0000-7000-8000-000000000001';
const otherApplicationId = '019a0000-0000-7000-8000-000000000002';
const scoredAt = new Date('2026-01-31T09:30:01.000Z');

function submission(stated: {
  id?: string;
  panNumber?: string;
  encryptedFor?: string;
  monthlyIncomePaise?: number;
  loanType?: LoanType;
}): EventOf<'applicationSubmitted'> {
  const ciphertext = encryptPan(stated.panNumber ?? 'PQRSX9876Z', stated.encryptedFor ?? applicationId);
  return createEvent('applicationSubmitted', {
    id: stated.id ?? '019a0000-0000-7000-8000-0000000000aa',
    source: 'gateway',
    applicationId,
    time: new Date('2026-01-31T09:30:00.000Z'),
    trace: { correlationId: 'c-1', traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` },
    data: {
      panCiphertext: ciphertext.toString('base64'),
      monthlyIncomeInr: stated.monthlyIncomePaise ?? 50_000_00,
      loanAmountInr: 500_000_00,
      loanType: stated.loanType ?? 'AUTO',
    },
  });
}

function sandbox(): { deps: ScoringDeps; published: EventOf<'creditReportGenerated'>[] } {
  const published: EventOf<'creditReportGenerated'>[] = [];
  const deps: ScoringDeps = {
    bureau: simulatedBureau({ useSandboxFixtures: true }),
    decryptPan: createPanDecrypter(ring),
    publishReport: async (event) => void published.push(event),
    now: () => scoredAt,
    log: createLog('scoring', 'silent', { write: () => undefined }),
  };
  return { deps, published };
}

test('a submitted application gets one credit report, on its own subject and in its own trace', async () => {
  const { deps, published } = sandbox();
  await onApplicationSubmitted(deps, submission({ panNumber: 'ABCDE1234F' }));
  expect(published).toHaveLength(1);
  expect(published[0]).toMatchObject({
    type: 'prequal.credit-report.generated.v1',
    source: 'scoring',
    subject: applicationId,
    time: scoredAt,
    correlationid: 'c-1',
    traceparent: expect.stringMatching(new RegExp(`^00-${'a'.repeat(32)}-(?!${'b'.repeat(16)})[0-9a-f]{16}-01$`)),
    data: { report: { result: 'SCORED', score: 790, bureau: 'simulated' } },
  });
});

test.each([
  ['FGHIJ5678K', 50_000_00, 'AUTO', 610, 610],
  ['PQRSX9876Z', 50_000_00, 'AUTO', 645, 655],
  ['PQRSX9876Z', 75_000_01, 'HOME', 695, 705],
  ['PQRSX9876Z', 29_999_99, 'PERSONAL', 615, 625],
] as const)(
  '%s with an income of %d paise for %s scores %d to %d',
  async (panNumber, monthlyIncomePaise, loanType, min, max) => {
    const { deps, published } = sandbox();
    await onApplicationSubmitted(deps, submission({ panNumber, monthlyIncomePaise, loanType }));
    const report = published[0]?.data.report;
    const score = report?.result === 'SCORED' ? report.score : undefined;
    expect(score).toBeGreaterThanOrEqual(min);
    expect(score).toBeLessThanOrEqual(max);
  },
);

describe('a redelivered message', () => {
  test('gives the report the same id and the same score, so that the broker drops the second', async () => {
    const { deps, published } = sandbox();
    const submitted = submission({});
    await onApplicationSubmitted(deps, submitted);
    await onApplicationSubmitted(deps, submitted);
    const [first, second] = published;
    expect(second?.id).toBe(first?.id);
    expect(second?.data).toEqual(first?.data);
    expect(first?.id).not.toBe(submitted.id);
  });

  test('gives the same in another process, at another time', async () => {
    const one = sandbox();
    const other = sandbox();
    const submitted = submission({});
    await onApplicationSubmitted(one.deps, submitted);
    await onApplicationSubmitted({ ...other.deps, now: () => new Date(0) }, submitted);
    expect(other.published[0]?.id).toBe(one.published[0]?.id);
    expect(other.published[0]?.data).toEqual(one.published[0]?.data);
  });

  test('is told from another message about the same application', async () => {
    const { deps, published } = sandbox();
    await onApplicationSubmitted(deps, submission({ id: '019a0000-0000-7000-8000-0000000000aa' }));
    await onApplicationSubmitted(deps, submission({ id: '019a0000-0000-7000-8000-0000000000ab' }));
    expect(new Set(published.map((event) => event.id)).size).toBe(2);
  });
});

test('the report can be sent and read, and the PAN is nowhere in it', async () => {
  const { deps, published } = sandbox();
  await onApplicationSubmitted(deps, submission({ panNumber: 'ABCDE1234F' }));
  const event = published[0];
  if (!event) throw new Error('no report was published');
  const wire = encodeEvent('creditReportGenerated', event);
  expect(decodeEvent('creditReportGenerated', wire)).toEqual(event);
  expect(wire).not.toContain('ABCDE1234F');
});

describe('nothing is published, and the message is not done, when', () => {
  test('the PAN belongs to another application', async () => {
    const { deps, published } = sandbox();
    const moved = submission({ encryptedFor: otherApplicationId });
    await expect(onApplicationSubmitted(deps, moved)).rejects.toThrow(PanUnreadableError);
    expect(published).toEqual([]);
  });

  test('the PAN was encrypted with a key that is gone', async () => {
    const { deps, published } = sandbox();
    const decryptPan = createPanDecrypter({ currentId: 'new', keys: new Map([['new', randomBytes(32)]]) });
    await expect(onApplicationSubmitted({ ...deps, decryptPan }, submission({}))).rejects.toThrow(PanUnreadableError);
    expect(published).toEqual([]);
  });

  test('the bureau cannot answer now', async () => {
    const { deps, published } = sandbox();
    const bureau = { report: () => Promise.reject(new Error('the bureau is away')) };
    await expect(onApplicationSubmitted({ ...deps, bureau }, submission({}))).rejects.toThrow('the bureau is away');
    expect(published).toEqual([]);
  });

  test('the broker does not take the report', async () => {
    const { deps } = sandbox();
    const publishReport = () => Promise.reject(new Error('the broker is away'));
    await expect(onApplicationSubmitted({ ...deps, publishReport }, submission({}))).rejects.toThrow(
      'the broker is away',
    );
  });
});

test('a bureau that knows no history is passed on as it is, without a score', async () => {
  const { deps, published } = sandbox();
  const report = { result: 'NO_HISTORY', bureau: 'test' } as const;
  await onApplicationSubmitted({ ...deps, bureau: { report: async () => report } }, submission({}));
  expect(published[0]?.data).toEqual({ report });
});
