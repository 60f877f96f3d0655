import { sql } from '@prequal/persistence';
import type { TestClient } from '@prequal/testing';
import { describe, expect, vi } from 'vitest';
import { type Desk, test } from './desk.ts';
import { submit, type TestStack } from './stack.ts';

const document = `subscription ($statuses: [ApplicationStatus!], $loanTypes: [LoanType!]) {
  decisions(statuses: $statuses, loanTypes: $loanTypes) { applicationId status version final reasons { code } }
}`;
const resolveDocument =
  'mutation ($input: ResolveReviewInput!) { resolveReview(input: $input) { application { id } } }';
const claimDocument = 'mutation ($id: ID!) { claimReview(applicationId: $id) { application { id } } }';

const transports = ['ws', 'sse'] as const;

type Told = { applicationId: string; status: string; version: number; final: boolean; reasons: { code: string }[] };

/** Follows the decisions until it is disposed. */
async function follow(stack: TestStack, client: TestClient, transport: 'ws' | 'sse', filter = {}) {
  const told: Told[] = [];
  const errors: unknown[] = [];
  const stream = client.subscribe(transport, document, filter);
  const followed = (async () => {
    for await (const result of stream) {
      if (result.errors) errors.push(...result.errors);
      else told.push(result.data.decisions);
    }
  })();
  // Nothing says that a subscription has begun, but that it tells something.
  await vi.waitFor(
    async () => {
      await submit(stack.client, { monthlyIncomeInr: '10000.00', loanAmountInr: '100.00', panNumber: 'FGHIJ5678K' });
      expect(told.length).toBeGreaterThan(0);
    },
    { timeout: 10_000, interval: 200 },
  );
  return {
    told,
    errors,
    of: (id: string) => told.filter(({ applicationId }) => applicationId === id),
    [Symbol.asyncDispose]: async () => {
      await stream.return?.();
      await followed;
    },
  };
}

async function resolve(desk: Desk, id: string): Promise<void> {
  const una = await desk.as('una', 'underwriter');
  await una.request(claimDocument, { id });
  const input = { applicationId: id, outcome: 'REJECTED', reasonCode: 'NOT_PLAUSIBLE', comment: 'The slip is older.' };
  expect((await una.request(resolveDocument, { input })).errors).toBeUndefined();
}

describe.for(transports)('over %s', (transport) => {
  test('every decision is told as it happens, of the policy and of people', async ({ stack, desk }) => {
    await using followed = await follow(stack, await desk.as('ana', 'analyst'), transport);
    const id = await desk.borderline();
    await resolve(desk, id);
    await vi.waitFor(
      () =>
        expect(followed.of(id)).toEqual([
          {
            applicationId: id,
            status: 'MANUAL_REVIEW',
            version: 2,
            final: false,
            reasons: [{ code: 'INCOME_INSUFFICIENT' }, { code: 'SCORE_SUFFICIENT' }],
          },
          { applicationId: id, status: 'REJECTED', version: 3, final: true, reasons: [{ code: 'NOT_PLAUSIBLE' }] },
        ]),
      10_000,
    );
  });

  test('of some statuses and loan types alone', async ({ stack, desk }) => {
    const filter = { statuses: ['REJECTED', 'MANUAL_REVIEW'], loanTypes: ['PERSONAL', 'HOME'] };
    await using followed = await follow(stack, await desk.as('ana', 'auditor'), transport, filter);
    const [approved, auto] = [await submit(stack.client), await desk.borderline({ loanType: 'AUTO' })];
    const id = await desk.borderline({ loanType: 'HOME' });
    await vi.waitFor(() => expect(followed.of(id)).toHaveLength(1), 10_000);
    expect([followed.of(approved), followed.of(auto)]).toEqual([[], []]);
  });

  test.for(['underwriter', 'analyst', 'operator', 'auditor', 'nobody', 'anonymous'])(
    'as %s',
    async (role, { stack, desk }) => {
      const client = role === 'anonymous' ? stack.client : await desk.as('sam', ...(role === 'nobody' ? [] : [role]));
      if (['underwriter', 'analyst', 'auditor'].includes(role)) {
        await using followed = await follow(stack, client, transport);
        return expect(followed.errors).toEqual([]);
      }
      const codes: unknown[] = [];
      try {
        for await (const { errors } of client.subscribe(transport, document))
          codes.push(errors?.[0]?.extensions?.['code']);
      } catch (error) {
        codes.push((error as { extensions: { code: string } }[])[0]?.extensions.code);
      }
      expect(codes).toEqual([role === 'anonymous' ? 'UNAUTHENTICATED' : 'FORBIDDEN']);
    },
  );
});

test('none is missing and none is told twice while NATS is restarted under load', async ({
  stack,
  desk,
  nats,
  database,
}) => {
  const client = await desk.as('una', 'underwriter');
  await using overWs = await follow(stack, client, 'ws');
  await using overSse = await follow(stack, client, 'sse');
  const ids: string[] = [];
  for (let round = 0; round < 4; round += 1) {
    ids.push(...(await Promise.all(Array.from({ length: 15 }, () => submit(stack.client)))));
    const outage = round < 2 ? await nats.away() : undefined;
    ids.push(...(await Promise.all(Array.from({ length: 5 }, () => submit(stack.client)))));
    await outage?.[Symbol.asyncDispose]();
  }
  await vi.waitFor(async () => {
    const { rows } = await sql<{ count: number }>`
      select count(*)::integer as count from decisions where application_id = any(${ids}::uuid[])`.execute(
      database.sql(),
    );
    expect(rows[0]?.count).toBe(ids.length);
  }, 30_000);
  for (const { told } of [overWs, overSse]) {
    await vi.waitFor(() => {
      const toldIds = told.map(({ applicationId }) => applicationId).filter((id) => ids.includes(id));
      expect(toldIds.toSorted()).toEqual(ids.toSorted());
    }, 10_000);
  }
});
