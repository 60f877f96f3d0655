import { startGateway } from '@prequal/gateway';
import { connectClient } from '@prequal/testing';
import { expect } from 'vitest';
import { test } from './desk.ts';
import { goodInput, submit, submitDocument } from './stack.ts';

const consent = {
  purpose: 'CREDIT_ASSESSMENT',
  noticeVersion: '2026-04',
  language: 'en-IN',
  givenAt: '2026-11-01T09:30:00.000Z',
};
const document = `query ($id: ID!) {
  application(id: $id) { consent { purpose noticeVersion language givenAt } }
}`;

const issuesOf = (answer: { errors?: readonly { extensions: Record<string, unknown> }[] }) => {
  const issues = answer.errors?.[0]?.extensions['issues'] as { path: string[]; code: string }[] | undefined;
  return issues?.map(({ path, code }) => `${path.join('.')} ${code}`).toSorted();
};

test('what the applicant has agreed to is kept as it was sent, and shown to staff alone', async ({ stack, desk }) => {
  const [id, without] = [await submit(stack.client, { consent }), await submit(stack.client)];
  const ask = async (client: typeof stack.client, asked: string) =>
    (await client.request(document, { id: asked })).data.application.consent;
  for (const role of ['underwriter', 'analyst', 'operator', 'auditor']) {
    expect(await ask(await desk.as('sam', role), id)).toEqual(consent);
  }
  expect(await ask(await desk.as('una', 'underwriter'), without)).toBeNull();
  expect(await ask(stack.client, id)).toBeNull();
});

test('it holds codes and a time that has passed, and every fault of it is told at once', async ({ stack }) => {
  const faulty = {
    purpose: 'to see what Asha earns',
    noticeVersion: 'the new one',
    language: 'Hindi, please',
    givenAt: '2999-01-01T00:00:00.000Z',
  };
  const answer = await stack.client.request(submitDocument, {
    input: { ...goodInput, monthlyIncomeInr: '-1', consent: faulty },
  });
  expect(issuesOf(answer)).toEqual([
    'input.consent.givenAt INVALID_VALUE',
    'input.consent.language INVALID_VALUE',
    'input.consent.noticeVersion INVALID_VALUE',
    'input.consent.purpose INVALID_VALUE',
    'input.monthlyIncomeInr INVALID_VALUE',
  ]);
  expect(JSON.stringify(answer)).not.toMatch(/Asha|Hindi/);
});

test('it is part of what an idempotency key stands for', async ({ stack }) => {
  const idempotencyKey = 'with consent';
  const id = await submit(stack.client, { consent, idempotencyKey });
  expect(await submit(stack.client, { consent, idempotencyKey })).toBe(id);
  for (const other of [
    undefined,
    { ...consent, language: 'hi' },
    { ...consent, givenAt: '2026-11-01T09:30:00.001Z' },
  ]) {
    const { errors } = await stack.client.request(submitDocument, {
      input: { ...goodInput, consent: other, idempotencyKey },
    });
    expect(errors?.[0]?.extensions?.['code']).toBe('IDEMPOTENCY_KEY_REUSED');
  }
});

test('where it is demanded, a submission without it is refused with all else that is wrong with it', async ({
  stack,
}) => {
  await using gateway = await startGateway({ ...stack.envOf('gateway'), CONSENT_REQUIRED: 'on' });
  await using client = connectClient(gateway.url);
  for (const without of [{}, { consent: null }]) {
    const answer = await client.request(submitDocument, { input: { ...goodInput, loanType: 'BOAT', ...without } });
    expect(issuesOf(answer)).toEqual(['input.consent REQUIRED', 'input.loanType INVALID_VALUE']);
  }
  const literal = `mutation { submitApplication(input: {
    panNumber: "ABCDE1234F", monthlyIncomeInr: 75000, loanAmountInr: 500000, loanType: HOME
  }) { replayed } }`;
  expect(issuesOf(await client.request(literal))).toEqual(['input.consent REQUIRED']);
  await submit(client, { consent });
});
