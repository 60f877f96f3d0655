import { sql } from '@prequal/persistence';
import { decodeEvent } from '@prequal/schema';
import type { TestNats } from '@prequal/testing';
import { describe, expect } from 'vitest';
import { goodInput, lookUpDocument, submit, submitDocument, test, watchToEnd } from './stack.ts';

describe('1 an applicant submits', () => {
  test('1.1 an application is accepted at once, before it is decided', async ({ stack }) => {
    const { status, data } = await stack.client.request(submitDocument, { input: goodInput });
    expect(status).toBe(200);
    expect(data.submitApplication).toMatchObject({ replayed: false, application: { status: 'PENDING', version: 1 } });
  });

  test('1.2 the answer has an id and the status PENDING', async ({ stack }) => {
    const { data } = await stack.client.request(submitDocument, { input: goodInput });
    expect(data.submitApplication.application).toMatchObject({
      id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/),
      status: 'PENDING',
      maskedPan: 'ABCDE***4F',
      monthlyIncomeInr: '75000.00',
      loanAmountInr: '500000.00',
    });
  });

  test('1.3 it is a row in applications', async ({ stack, database }) => {
    const id = await submit(stack.client);
    const { rows } = await sql<Record<string, unknown>>`
      select pan_masked, applicant_name, monthly_income_inr, loan_amount_inr, loan_type, synthetic
      from applications where id = ${id}`.execute(database.sql());
    expect(rows).toEqual([
      {
        pan_masked: 'ABCDE***4F',
        applicant_name: 'Sandbox Applicant',
        monthly_income_inr: '75000.00',
        loan_amount_inr: '500000.00',
        loan_type: 'PERSONAL',
        synthetic: false,
      },
    ]);
  });

  test('1.4 it is a message on the submitted subject', async ({ stack, nats }) => {
    const id = await submit(stack.client);
    await watchToEnd(stack.client, id);
    const { jsm } = await nats.broker.jetStream();
    const stored = await jsm.streams.getMessage('LOAN_APPLICATIONS', {
      last_by_subj: `loan.applications.submitted.${id}`,
    });
    const event = decodeEvent('applicationSubmitted', stored.string());
    expect(event).toMatchObject({ subject: id, data: { monthlyIncomeInr: 75_000_00, loanType: 'PERSONAL' } });
    expect(stored.header.get('Nats-Msg-Id')).toBe(event.id);
    expect(stored.header.get('traceparent')).toBe(event.traceparent);
    expect(stored.header.get('correlation-id')).toBe(event.correlationid);
  });

  test('1.5 an application without a PAN is refused with a clear error', async ({ stack }) => {
    const { panNumber: _, ...input } = goodInput;
    const { errors, data } = await stack.client.request(submitDocument, { input });
    expect(data).toBeUndefined();
    expect(errors).toMatchObject([
      {
        message: 'input.panNumber is required',
        extensions: {
          code: 'VALIDATION_FAILED',
          issues: [{ path: ['input', 'panNumber'], code: 'REQUIRED', message: 'is required' }],
        },
      },
    ]);
  });
});

describe('2 an applicant asks', () => {
  test('2.1 an application that is not decided is PENDING', async ({ stack }) => {
    await using _paused = await stack.without('scoring');
    const id = await submit(stack.client);
    const { data } = await stack.client.request(lookUpDocument, { id });
    expect(data.application).toMatchObject({ status: 'PENDING', cibilScore: null, decision: null, version: 1 });
  });

  test('2.2 a decided application is PRE_APPROVED, with reasons and history', async ({ stack }) => {
    const id = await submit(stack.client);
    await watchToEnd(stack.client, id);
    const { data } = await stack.client.request(lookUpDocument, { id });
    expect(data.application).toMatchObject({
      status: 'PRE_APPROVED',
      version: 2,
      cibilScore: 790,
      decision: {
        outcome: 'PRE_APPROVED',
        decidedBy: 'POLICY',
        policyVersion: 'seed-1',
        reasons: [
          {
            code: 'INCOME_SUFFICIENT',
            message:
              'Your monthly income of ₹75,000.00 is more than ₹10,416.66, one forty-eighth of the requested ₹5,00,000.00.',
          },
          { code: 'SCORE_SUFFICIENT', message: 'Your CIBIL score of 790 reaches the minimum of 650.' },
        ],
      },
      history: [
        { version: 1, status: 'PENDING', actor: 'gateway', reasons: [] },
        { version: 2, status: 'PRE_APPROVED', actor: 'decisioning' },
      ],
    });
  });
});

describe('3 scoring', () => {
  const reportOf = async (nats: TestNats, id: string) => {
    const { jsm } = await nats.broker.jetStream();
    const stored = await jsm.streams.getMessage('LOAN_CREDIT_REPORTS', {
      last_by_subj: `loan.credit-reports.generated.${id}`,
    });
    return decodeEvent('creditReportGenerated', stored.string()).data.report;
  };

  test('3.1 a score between 300 and 900 is published', async ({ stack, nats }) => {
    const id = await submit(stack.client, { panNumber: 'ZZZPZ9999Z', monthlyIncomeInr: '20000', loanType: 'PERSONAL' });
    await watchToEnd(stack.client, id);
    // 650 − 20 − 10, and −5 to +5 by the id
    const report = await reportOf(nats, id);
    expect(report.result === 'SCORED' && Math.abs(report.score - 620)).toBeLessThanOrEqual(5);
  });

  test('3.2 ABCDE1234F scores 790', async ({ stack, nats }) => {
    const id = await submit(stack.client, { panNumber: 'ABCDE1234F' });
    await watchToEnd(stack.client, id);
    expect(await reportOf(nats, id)).toEqual({ result: 'SCORED', score: 790, bureau: 'simulated' });
  });
});

describe('4 deciding', () => {
  test('4.1 a score of 790 with sufficient income is PRE_APPROVED', async ({ stack }) => {
    const updates = await watchToEnd(stack.client, await submit(stack.client, { panNumber: 'ABCDE1234F' }));
    expect(updates.at(-1)).toMatchObject({ status: 'PRE_APPROVED', cibilScore: 790, final: true });
  });

  test('4.2 a score of 610 is REJECTED', async ({ stack }) => {
    const updates = await watchToEnd(stack.client, await submit(stack.client, { panNumber: 'FGHIJ5678K' }));
    expect(updates.at(-1)).toMatchObject({
      status: 'REJECTED',
      cibilScore: 610,
      final: true,
      reasons: [{ code: 'SCORE_BELOW_MINIMUM', message: 'Your CIBIL score of 610 is below the minimum of 650.' }],
    });
  });

  test('4.3 a sufficient score with insufficient income is MANUAL_REVIEW, and the watcher stays', async ({ stack }) => {
    // income = amount ÷ 48 exactly: not more, so an underwriter looks
    const id = await submit(stack.client, { monthlyIncomeInr: '10000.00', loanAmountInr: '480000.00' });
    const stream = stack.client.subscribe(
      'ws',
      'subscription($id: ID!) { applicationStatus(id: $id) { status final } }',
      { id },
    );
    const seen: unknown[] = [];
    for await (const { data } of stream) {
      seen.push(data.applicationStatus);
      if (data.applicationStatus.status !== 'PENDING') break;
    }
    expect(seen.at(-1)).toEqual({ status: 'MANUAL_REVIEW', final: false });
  });
});
