import { randomUUID } from 'node:crypto';
import { sql } from '@prequal/persistence';
import { createEvent, encodeEvent, subjectOf } from '@prequal/schema';
import type { TestClient } from '@prequal/testing';
import { describe, expect } from 'vitest';
import { test } from './desk.ts';
import { lookUpDocument, submit, watchDocument, watchToEnd } from './stack.ts';

const queueDocument = `query ($first: Int, $after: String) {
  reviewQueue(first: $first, after: $after) {
    edges { cursor node { id status review { claimedBy claimExpiresAt waitingSince } } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    totalCount
  }
}`;
const claimDocument = `mutation ($id: ID!) {
  claimReview(applicationId: $id) { application { id status review { claimedBy claimExpiresAt waitingSince } } }
}`;
const resolveDocument = `mutation ($input: ResolveReviewInput!) {
  resolveReview(input: $input) { application { id status version review { claimedBy } decision {
    outcome decidedBy policyVersion reasons { code message } } history { version status actor reasons { code } } } }
}`;
const listDocument = `query ($filter: ApplicationFilter, $first: Int, $after: String) {
  applications(filter: $filter, first: $first, after: $after) {
    edges { cursor node { id status loanType createdAt } } pageInfo { hasNextPage hasPreviousPage endCursor } totalCount
  }
}`;
const lettersDocument = `query ($state: DeadLetterState, $first: Int, $after: String) {
  deadLetters(state: $state, first: $first, after: $after) {
    edges { node { id state consumer errorClass deliveries resolvedBy resolution } } pageInfo { hasNextPage endCursor } totalCount
  }
}`;
const replayDocument = 'mutation ($id: ID!) { replayDeadLetter(id: $id) { id state resolvedBy resolution } }';
const discardDocument = `mutation ($id: ID!, $reason: String!) {
  discardDeadLetter(id: $id, reason: $reason) { id state resolvedAt resolvedBy resolution }
}`;
const idsOf = (answer: { data: never }, list: string) =>
  (answer.data as Record<string, { edges: { node: { id: string } }[] }>)[list]?.edges.map(({ node }) => node.id) ?? [];

const resolution = (applicationId: string, more: Record<string, unknown> = {}) => ({
  input: {
    applicationId,
    outcome: 'PRE_APPROVED',
    reasonCode: 'INCOME_VERIFIED',
    comment: 'Salary slips seen.',
    ...more,
  },
});

describe('an application in review', () => {
  test('is claimed, resolved, and pushed to who stayed and to who came back; the history names the underwriter', async ({
    stack,
    desk,
  }) => {
    const id = await desk.borderline();
    const asha = await desk.as('asha', 'underwriter');
    const stayed = stack.otherClient.subscribe('ws', watchDocument, { id });
    expect((await stayed.next()).value.data.applicationStatus).toMatchObject({ status: 'MANUAL_REVIEW', final: false });
    const pushed = stayed.next();

    const claimed = await asha.request(claimDocument, { id });
    expect(claimed.errors).toBeUndefined();
    const { review } = claimed.data.claimReview.application;
    expect(review.claimedBy).toBe('asha');
    const leftMs = Date.parse(review.claimExpiresAt) - Date.now();
    expect(leftMs).toBeGreaterThan(14 * 60_000);
    expect(leftMs).toBeLessThan(15 * 60_000 + 1_000);

    const resolved = await asha.request(resolveDocument, resolution(id));
    expect(resolved.errors).toBeUndefined();
    expect(resolved.data.resolveReview.application).toEqual({
      id,
      status: 'PRE_APPROVED',
      version: 3,
      review: null,
      decision: {
        outcome: 'PRE_APPROVED',
        decidedBy: 'UNDERWRITER',
        policyVersion: 'seed-1',
        reasons: [{ code: 'INCOME_VERIFIED', message: 'Salary slips seen.' }],
      },
      history: [
        { version: 1, status: 'PENDING', actor: 'gateway', reasons: [] },
        expect.objectContaining({ version: 2, status: 'MANUAL_REVIEW', actor: 'decisioning' }),
        { version: 3, status: 'PRE_APPROVED', actor: 'underwriter:asha', reasons: [{ code: 'INCOME_VERIFIED' }] },
      ],
    });
    expect((await pushed).value.data.applicationStatus).toMatchObject({
      status: 'PRE_APPROVED',
      version: 3,
      cibilScore: 790,
      final: true,
    });
    expect(await stayed.next()).toMatchObject({ done: true });
    expect((await watchToEnd(stack.client, id, { transport: 'sse', after: 2 })).map(({ version }) => version)).toEqual([
      3,
    ]);
  });

  test('is nobody’s to resolve without a claim, with an expired one, or with that of another', async ({
    desk,
    database,
  }) => {
    const id = await desk.borderline();
    const [asha, ravi] = [await desk.as('asha', 'underwriter'), await desk.as('ravi', 'underwriter')];
    const code = async (client: TestClient, document: string, variables: unknown) =>
      (await client.request(document, variables)).errors?.[0]?.extensions?.['code'];
    expect(await code(asha, resolveDocument, resolution(id))).toBe('NOT_CLAIMED');
    expect(await code(asha, claimDocument, { id })).toBeUndefined();
    expect(await code(ravi, claimDocument, { id })).toBe('CLAIMED_BY_ANOTHER');
    expect(await code(ravi, resolveDocument, resolution(id))).toBe('NOT_CLAIMED');
    await sql`update review_claims set expires_at = now() where application_id = ${id}`.execute(database.sql());
    expect(await code(asha, resolveDocument, resolution(id))).toBe('NOT_CLAIMED');
    expect(await code(ravi, claimDocument, { id })).toBeUndefined();
    expect(await code(asha, claimDocument, { id })).toBe('CLAIMED_BY_ANOTHER');
    expect(await code(ravi, resolveDocument, resolution(id, { outcome: 'REJECTED' }))).toBeUndefined();
    expect(await code(ravi, resolveDocument, resolution(id))).toBe('NOT_IN_REVIEW');
    expect(await code(ravi, claimDocument, { id })).toBe('NOT_IN_REVIEW');
    expect(await code(ravi, claimDocument, { id: '01890000-0000-7000-8000-000000000000' })).toBe('NOT_FOUND');
    expect(await code(ravi, claimDocument, { id: 'nonsense' })).toBe('NOT_FOUND');
  });

  test('is held by one of two who claim it at once, 200 times', async ({ desk, database }) => {
    const id = await desk.borderline();
    const rivals = [await desk.as('asha', 'underwriter'), await desk.as('ravi', 'underwriter')];
    const winners: Record<string, number> = {};
    for (let round = 0; round < 200; round += 1) {
      await sql`delete from review_claims where application_id = ${id}`.execute(database.sql());
      const answers = await Promise.all(rivals.map((rival) => rival.request(claimDocument, { id })));
      const won = answers.filter(({ errors }) => !errors);
      expect(won).toHaveLength(1);
      expect(answers.flatMap(({ errors }) => errors ?? [])[0]?.extensions?.['code']).toBe('CLAIMED_BY_ANOTHER');
      const holder = won[0]?.data.claimReview.application.review.claimedBy;
      winners[holder] = (winners[holder] ?? 0) + 1;
      const { rows } = await sql<{ by: string }>`
        select claimed_by as by from review_claims where application_id = ${id}`.execute(database.sql());
      expect(rows).toEqual([{ by: holder }]);
    }
    expect(Object.values(winners).reduce((sum, count) => sum + count)).toBe(200);
  }, 60_000);

  test('is decided once when the one who holds it resolves it twice at once', async ({ desk, database }) => {
    const id = await desk.borderline();
    const asha = await desk.as('asha', 'underwriter');
    await asha.request(claimDocument, { id });
    const answers = await Promise.all(
      ['PRE_APPROVED', 'REJECTED', 'PRE_APPROVED'].map((outcome) =>
        asha.request(resolveDocument, resolution(id, { outcome })),
      ),
    );
    expect(answers.filter(({ errors }) => !errors)).toHaveLength(1);
    const refusals = answers.flatMap(({ errors }) => errors ?? []);
    expect(refusals.map(({ extensions }) => extensions?.['code'])).toEqual(['NOT_IN_REVIEW', 'NOT_IN_REVIEW']);
    const { rows } =
      await sql`select 1 from decisions where application_id = ${id} and decided_by = 'UNDERWRITER'`.execute(
        database.sql(),
      );
    expect(rows).toHaveLength(1);
  });

  test.for<[string, Record<string, unknown>, string]>([
    ['an outcome that is none', { outcome: 'MANUAL_REVIEW' }, 'input.outcome'],
    ['a code in words', { reasonCode: 'it is fine' }, 'input.reasonCode'],
    ['an empty comment', { comment: '  ' }, 'input.comment'],
    ['a comment of 2001 characters', { comment: 'x'.repeat(2_001) }, 'input.comment'],
  ])('is not resolved with %s', async ([, wrong, path], { desk }) => {
    const asha = await desk.as('asha', 'underwriter');
    const { errors } = await asha.request(resolveDocument, resolution('01890000-0000-7000-8000-000000000000', wrong));
    expect(errors?.[0]?.extensions).toMatchObject({ code: 'VALIDATION_FAILED', issues: [{ path: path.split('.') }] });
  });
});

describe('the queue', () => {
  test('is the oldest first, by pages, and each tells who holds it to staff alone', async ({ stack, desk }) => {
    const meera = await desk.as('meera', 'underwriter');
    const ids = [await desk.borderline(), await desk.borderline(), await desk.borderline()];
    await meera.request(claimDocument, { id: ids[1] });
    const seen: string[] = [];
    let after: string | undefined;
    for (;;) {
      const { data } = await meera.request(queueDocument, { first: 2, after });
      const { edges, pageInfo } = data.reviewQueue;
      seen.push(...edges.map(({ node }: { node: { id: string } }) => node.id));
      expect(pageInfo.hasPreviousPage).toBe(after !== undefined);
      for (const { node } of edges) expect(node.review.claimedBy === 'meera').toBe(node.id === ids[1]);
      if (!pageInfo.hasNextPage) break;
      after = pageInfo.endCursor;
    }
    expect(seen.slice(-3)).toEqual(ids);
    expect(new Set(seen).size).toBe(seen.length);
    const { data } = await stack.client.request('query ($id: ID!) { application(id: $id) { review { claimedBy } } }', {
      id: ids[1],
    });
    expect(data.application.review).toBeNull();
  });
});

describe('the list', () => {
  test('is the newest first, filtered by all that is given, and stable while others submit', async ({
    stack,
    desk,
  }) => {
    const ravi = await desk.as('ravi', 'analyst');
    const marked = { panNumber: 'LSTPK1234L' };
    const ids: string[] = [];
    for (const loanType of ['HOME', 'AUTO', 'HOME', 'PERSONAL', 'HOME'])
      ids.push(await submit(stack.client, { ...marked, loanType }));
    const first = await ravi.request(listDocument, { filter: marked, first: 2 });
    expect(idsOf(first as never, 'applications')).toEqual([ids[4], ids[3]]);
    expect(first.data.applications.pageInfo.hasNextPage).toBe(true);
    await submit(stack.client, marked);
    const second = await ravi.request(listDocument, {
      filter: marked,
      first: 2,
      after: first.data.applications.pageInfo.endCursor,
    });
    expect(idsOf(second as never, 'applications')).toEqual([ids[2], ids[1]]);
    const homes = await ravi.request(listDocument, { filter: { ...marked, loanTypes: ['HOME'] } });
    expect(idsOf(homes as never, 'applications')).toEqual([ids[4], ids[2], ids[0]]);
    expect(homes.data.applications.totalCount).toBe(3);
    // A count by PAN is never an older one: it would have to be remembered under the PAN.
    await submit(stack.client, { ...marked, loanType: 'HOME' });
    const more = await ravi.request(listDocument, { filter: { ...marked, loanTypes: ['HOME'] } });
    expect(more.data.applications.totalCount).toBe(4);
    const decided = { ...marked, statuses: ['PRE_APPROVED', 'REJECTED', 'MANUAL_REVIEW'] };
    await expect
      .poll(async () => idsOf((await ravi.request(listDocument, { filter: decided })) as never, 'applications').length)
      .toBe(7);
    const { createdAt } = homes.data.applications.edges[1].node;
    const later = await ravi.request(listDocument, { filter: { ...marked, createdAfter: createdAt } });
    expect(idsOf(later as never, 'applications')).not.toContain(ids[2]);
    const earlier = await ravi.request(listDocument, { filter: { ...marked, createdBefore: createdAt } });
    expect(idsOf(earlier as never, 'applications')).toEqual([ids[1], ids[0]]);
    const nobody = await ravi.request(listDocument, { filter: { panNumber: 'LSTPK9999L' } });
    expect(nobody.data.applications).toMatchObject({ edges: [], totalCount: 0, pageInfo: { endCursor: null } });
  });

  test.for<[string, Record<string, unknown>, (string | number)[]]>([
    ['no entries', { first: 0 }, ['first']],
    ['101 entries', { first: 101 }, ['first']],
    ['a cursor that is none', { after: 'nonsense' }, ['after']],
    ['a PAN that is none', { filter: { panNumber: 'x' } }, ['filter', 'panNumber']],
    ['an instant that is none', { filter: { createdAfter: 'yesterday' } }, ['filter', 'createdAfter']],
  ])('refuses %s', async ([, variables, path], { desk }) => {
    const { errors } = await (await desk.as('ravi', 'analyst')).request(listDocument, variables);
    expect(errors?.[0]?.extensions).toMatchObject({ code: 'VALIDATION_FAILED', issues: [{ path }] });
  });
});

describe('dead letters', () => {
  const plant = async (database: { sql: () => never }, applicationId: string) => {
    const id = randomUUID();
    const event = createEvent('creditReportGenerated', {
      id: randomUUID(),
      source: 'scoring',
      applicationId,
      time: new Date(),
      trace: { correlationId: 'a-test', traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` },
      data: { report: { result: 'SCORED', score: 790, bureau: 'simulated' } },
    });
    await sql`insert into dead_letters (id, consumer, subject, application_id, error_class, error, deliveries, payload)
      values (${id}, 'decisioning', ${subjectOf('creditReportGenerated', applicationId)}, ${applicationId}, 'HANDLER_FAILED',
        'a test', 6, ${Buffer.from(encodeEvent('creditReportGenerated', event))})`.execute(database.sql());
    return id;
  };

  test('are listed by pages, replayed and discarded by an operator, who is named', async ({
    stack,
    desk,
    database,
  }) => {
    const omar = await desk.as('omar', 'operator');
    const paused = await stack.without('scoring');
    const applicationId = await submit(stack.client);
    const [first, second] = [
      await plant(database as never, applicationId),
      await plant(database as never, randomUUID()),
    ];
    const page = await omar.request(lettersDocument, { first: 1 });
    expect(idsOf(page as never, 'deadLetters')).toEqual([second]);
    expect(page.data.deadLetters).toMatchObject({ totalCount: 2, pageInfo: { hasNextPage: true } });
    const next = await omar.request(lettersDocument, { first: 1, after: page.data.deadLetters.pageInfo.endCursor });
    expect(idsOf(next as never, 'deadLetters')).toEqual([first]);

    const replayed = await omar.request(replayDocument, { id: first });
    expect(replayed.data.replayDeadLetter).toMatchObject({ state: 'REPLAYED', resolvedBy: 'operator:omar' });
    // What it holds arrives: the application is decided although scoring does not run.
    expect((await watchToEnd(stack.client, applicationId)).at(-1)).toMatchObject({ status: 'PRE_APPROVED' });
    expect((await omar.request(replayDocument, { id: first })).errors?.[0]?.extensions).toMatchObject({
      code: 'ALREADY_RESOLVED',
    });
    const discarded = await omar.request(discardDocument, { id: second, reason: ' of a test ' });
    expect(discarded.data.discardDeadLetter).toMatchObject({
      state: 'DISCARDED',
      resolvedBy: 'operator:omar',
      resolution: 'of a test',
    });
    expect((await omar.request(lettersDocument, {})).data.deadLetters.totalCount).toBe(0);
    expect((await omar.request(lettersDocument, { state: null })).data.deadLetters.totalCount).toBe(2);
    await paused[Symbol.asyncDispose]();
  });

  test('a replay does not change what an underwriter has decided meanwhile', async ({ desk, database, stack }) => {
    const omar = await desk.as('omar', 'operator');
    const asha = await desk.as('asha', 'underwriter');
    const id = await desk.borderline();
    const letter = await plant(database as never, id);
    await asha.request(claimDocument, { id });
    await asha.request(resolveDocument, resolution(id, { outcome: 'REJECTED' }));
    expect((await omar.request(replayDocument, { id: letter })).errors).toBeUndefined();
    await expect
      .poll(
        async () =>
          (await sql<{ count: number }>`select count(*)::integer as count from outbox`.execute(database.sql())).rows[0]
            ?.count,
        { timeout: 10_000 },
      )
      .toBe(0);
    const { data } = await stack.client.request(lookUpDocument, { id });
    expect(data.application).toMatchObject({ status: 'REJECTED', version: 3 });
  });

  test.for<[string, string, Record<string, unknown>, string]>([
    ['an unknown id', replayDocument, { id: '01890000-0000-7000-8000-000000000000' }, 'NOT_FOUND'],
    ['an id that is none', replayDocument, { id: 'x' }, 'NOT_FOUND'],
    [
      'an empty reason',
      discardDocument,
      { id: '01890000-0000-7000-8000-000000000000', reason: ' ' },
      'VALIDATION_FAILED',
    ],
  ])('are refused for %s', async ([, document, variables, code], { desk }) => {
    const { errors } = await (await desk.as('omar', 'operator')).request(document, variables);
    expect(errors?.[0]?.extensions?.['code']).toBe(code);
  });
});

test('a human decision names the policy that referred the application, also when that came while it waited', async ({
  desk,
  database,
}) => {
  const id = await desk.borderline();
  const una = await desk.as('una', 'underwriter');
  await una.request(claimDocument, { id });
  const { answer } = await database
    .sql()
    .transaction()
    .execute(async (transaction) => {
      await sql`update applications set version = 3 where id = ${id}`.execute(transaction);
      await sql`
        insert into decisions (application_id, version, outcome, decided_by, policy_version, policy_hash, inputs,
          bureau_report, reasons, decided_at)
        select application_id, 3, outcome, 'SYSTEM', 'seed-9', 'its hash', inputs, bureau_report, reasons, decided_at
        from decisions where application_id = ${id}`.execute(transaction);
      const resolving = una.request(resolveDocument, resolution(id));
      const waiting = sql`
        select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`;
      await expect.poll(async () => (await waiting.execute(transaction)).rows).toHaveLength(1);
      return { answer: resolving };
    });
  const { data, errors } = await answer;
  expect(errors).toBeUndefined();
  expect(data.resolveReview.application).toMatchObject({ version: 4, decision: { policyVersion: 'seed-9' } });
});

const everyone = ['underwriter', 'analyst', 'operator', 'auditor'];

describe.for<[string, string, unknown, string[]]>([
  ['applications', listDocument, {}, ['underwriter', 'analyst', 'auditor']],
  ['reviewQueue', queueDocument, {}, ['underwriter']],
  ['claimReview', claimDocument, { id: 'x' }, ['underwriter']],
  ['resolveReview', resolveDocument, resolution('x'), ['underwriter']],
  ['deadLetters', lettersDocument, {}, ['operator']],
  ['replayDeadLetter', replayDocument, { id: 'x' }, ['operator']],
  ['discardDeadLetter', discardDocument, { id: 'x', reason: 'x' }, ['operator']],
  ['verifyDecision', 'query ($id: ID!) { verifyDecision(applicationId: $id) { intact } }', { id: 'x' }, ['auditor']],
  [
    'eraseApplicant',
    'mutation ($id: ID!) { eraseApplicant(applicationId: $id, reason: "x") { id } }',
    { id: 'x' },
    ['auditor'],
  ],
])('%s', ([, document, variables, allowed]) => {
  test.for([...everyone, 'nobody', 'anonymous'])('as %s', async (role, { stack, desk }) => {
    const client = role === 'anonymous' ? stack.client : await desk.as('sam', ...(role === 'nobody' ? [] : [role]));
    const codes =
      (await client.request(document, variables)).errors?.map(({ extensions }) => extensions?.['code']) ?? [];
    if (allowed.includes(role)) expect(codes).not.toContain('FORBIDDEN');
    else expect(codes).toEqual([role === 'anonymous' ? 'UNAUTHENTICATED' : 'FORBIDDEN']);
  });
});
