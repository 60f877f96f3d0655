import { setTimeout as delay } from 'node:timers/promises';
import { startDecisioning } from '@prequal/decisioning';
import { sql } from '@prequal/persistence';
import { shippedPolicies } from '@prequal/policy';
import type { TestClient } from '@prequal/testing';
import { describe, expect, vi } from 'vitest';
import { test } from './desk.ts';
import { submit, watchToEnd } from './stack.ts';

const publishDocument = `mutation ($input: PublishPolicyInput!) {
  publishPolicy(input: $input) { version mode hash createdBy }
}`;
const modeDocument = `mutation ($version: String!, $mode: PolicyMode!) {
  setPolicyMode(version: $version, mode: $mode) { version mode }
}`;
const listDocument = '{ policies { version mode hash document createdAt createdBy } }';
const simulateDocument = `query ($input: SimulatePolicyInput!) {
  simulatePolicy(input: $input) { evaluated changed transitions { from to count } }
}`;
const verifyDocument = 'query ($id: ID!) { verifyDecision(applicationId: $id) { intact findings } }';

const seed = shippedPolicies().find(({ version }) => version === 'seed-1')?.document ?? '';
/** `seed-1` with another minimum, and so with other sentences. */
const withMinimum = (score: number) => seed.replace('"value": "650"', `"value": "${score}"`);

/** `seed-1` with other cells in some rows, by their `_id`. */
const withRows = (changes: Record<string, Record<string, string>>) =>
  JSON.stringify(
    JSON.parse(seed, (_key, value) => ({ ...changes })[value?._id] ? { ...value, ...changes[value._id] } : value),
  );

const modesOf = async (client: TestClient) => {
  const { data } = await client.request(listDocument);
  return Object.fromEntries(
    (data.policies as { version: string; mode: string }[]).map(({ version, mode }) => [version, mode]),
  );
};

const setMode = async (client: TestClient, version: string, mode: string) => {
  const { data, errors } = await client.request(modeDocument, { version, mode });
  expect(errors).toBeUndefined();
  expect(data.setPolicyMode).toEqual({ version, mode });
};

test('an installation begins with seed-1 deciding and foir-1 beside it', async ({ desk }) => {
  const analyst = await desk.as('ana', 'analyst');
  const { data } = await analyst.request(listDocument);
  expect(data.policies).toHaveLength(2);
  expect(data.policies).toEqual(
    expect.arrayContaining(
      shippedPolicies().map(({ version, mode, document }) => ({
        version,
        mode,
        document,
        hash: expect.stringMatching(/^[0-9a-f]{64}$/),
        createdAt: expect.any(String),
        createdBy: 'prequal',
      })),
    ),
  );
});

test('a policy is published, shadowed and made to decide under load; every decision of the change verifies', async ({
  stack,
  desk,
  database,
}) => {
  const [analyst, auditor] = [await desk.as('ana', 'analyst'), await desk.as('aldo', 'auditor')];
  // A second worker, which has to hear of the change as well.
  await using second = await startDecisioning(stack.envOf('decisioning'));
  const published = await analyst.request(publishDocument, {
    input: { version: 'seed-2', document: withMinimum(720) },
  });
  expect(published.data.publishPolicy).toMatchObject({ version: 'seed-2', mode: 'INACTIVE', createdBy: 'analyst:ana' });
  await setMode(analyst, 'seed-2', 'SHADOW');
  const ids: string[] = [];
  const stopped = new AbortController();
  const loading = (async () => {
    while (!stopped.signal.aborted) ids.push(...(await Promise.all([1, 2, 3, 4].map(() => submit(stack.client)))));
  })();
  await delay(500);
  await setMode(analyst, 'seed-2', 'ACTIVE');
  // What is submitted from here on is scored and decided after the change.
  const changedAt = ids.length + 4;
  await vi.waitFor(() => expect(ids.length).toBeGreaterThan(changedAt + 20), 10_000);
  for (const id of ids.slice(changedAt, changedAt + 16)) await watchToEnd(stack.client, id);
  await setMode(analyst, 'seed-1', 'ACTIVE');
  stopped.abort();
  await loading;
  for (const id of ids) await watchToEnd(stack.client, id);
  const { rows } = await sql<{ id: string; policy_version: string; policy_hash: string }>`
    select d.application_id as id, policy_version, policy_hash
    from decisions d where application_id = any(${ids}::uuid[])`.execute(database.sql());
  expect(rows).toHaveLength(ids.length);
  const versions = new Set(rows.map((row) => row.policy_version));
  expect(versions).toEqual(new Set(['seed-1', 'seed-2']));
  // Both workers have decided.
  const figures = await (await fetch(`${second.url}/metrics`)).text();
  const decidedBySecond = [...figures.matchAll(/^prequal_decision_seconds_count{.*} (\d+)$/gm)].map(([, count]) =>
    Number(count),
  );
  const sum = decidedBySecond.reduce((all, count) => all + count, 0);
  expect(sum).toBeGreaterThan(0);
  expect(sum).toBeLessThan(ids.length);
  // Before it decided, it was asked beside seed-1; nothing is ever beside itself.
  const besides = async () => {
    const found = await sql<{ decided: string; beside: string }>`
      select d.policy_version as decided, s.policy_version as beside from shadow_verdicts s
      join decisions d using (application_id, version) where d.application_id = any(${ids}::uuid[])`.execute(
      database.sql(),
    );
    return new Set(found.rows.map(({ decided, beside }) => `${beside} beside ${decided}`));
  };
  await expect.poll(besides).toEqual(new Set(['seed-2 beside seed-1']));
  const madeBy = new Map(rows.map((row) => [row.id, row.policy_version]));
  expect(ids.slice(changedAt, changedAt + 16).map((id) => madeBy.get(id))).toEqual(Array(16).fill('seed-2'));
  for (const { id } of rows) {
    const { data } = await auditor.request(verifyDocument, { id });
    expect(data.verifyDecision).toEqual({ intact: true, findings: [] });
  }
  expect(await modesOf(analyst)).toEqual({ 'seed-1': 'ACTIVE', 'seed-2': 'INACTIVE', 'foir-1': 'INACTIVE' });
  const { rows: changes } = await sql`select version, mode, changed_by from policy_changes order by id`.execute(
    database.sql(),
  );
  expect(changes.slice(2)).toEqual([
    { version: 'seed-2', mode: 'INACTIVE', changed_by: 'analyst:ana' },
    { version: 'foir-1', mode: 'INACTIVE', changed_by: 'analyst:ana' },
    { version: 'seed-2', mode: 'SHADOW', changed_by: 'analyst:ana' },
    { version: 'seed-1', mode: 'INACTIVE', changed_by: 'analyst:ana' },
    { version: 'seed-2', mode: 'ACTIVE', changed_by: 'analyst:ana' },
    { version: 'seed-2', mode: 'INACTIVE', changed_by: 'analyst:ana' },
    { version: 'seed-1', mode: 'ACTIVE', changed_by: 'analyst:ana' },
  ]);
});

describe('publishing', () => {
  const publish = async (client: TestClient, version: string, document: string) =>
    (await client.request(publishDocument, { input: { version, document } })).errors?.[0]?.extensions;

  test('a document that decides badly is refused with an input that shows it, and is not stored', async ({ desk }) => {
    const analyst = await desk.as('ana', 'analyst');
    // No score is enough, and those that were are not rejected either.
    const refused = await publish(analyst, 'worse', seed.replaceAll('>= minimumScore', '> 900'));
    expect(refused).toMatchObject({ code: 'POLICY_INVALID' });
    const [finding] = (refused?.['findings'] ?? []) as unknown[];
    expect(finding).toEqual({
      kind: 'UNDECIDED',
      message: expect.any(String),
      examples: expect.arrayContaining([expect.objectContaining({ score: expect.any(Number) })]),
    });
    expect(await modesOf(analyst)).not.toHaveProperty('worse');
  });

  test('a document that punishes a higher income is refused with two applications that show it', async ({ desk }) => {
    const document = withRows({
      'rules-3': { 'rules-income': '<= incomeSharePaise' },
      'rules-4': { 'rules-income': '> incomeSharePaise' },
      'reasons-4': { 'reasons-when': '' },
      'reasons-5': { 'reasons-when': '' },
    });
    const refused = await publish(await desk.as('ana', 'analyst'), 'inverted', document);
    expect(refused).toMatchObject({ code: 'POLICY_INVALID' });
    type Example = { monthlyIncomePaise: number; loanAmountPaise: number };
    const findings = (refused?.['findings'] ?? []) as { kind: string; message: string; examples: Example[] }[];
    const finding = findings.find(({ kind }) => kind === 'NOT_MONOTONE');
    expect(finding?.message).toMatch(/^A higher income gives a worse outcome: .*: PRE_APPROVED; .*: MANUAL_REVIEW\.$/);
    const [poorer, richer] = finding?.examples ?? [];
    if (!poorer || !richer) throw new Error('there are no examples');
    expect({ ...richer, monthlyIncomePaise: poorer.monthlyIncomePaise }).toEqual(poorer);
    expect(poorer.monthlyIncomePaise * 48).toBeLessThanOrEqual(poorer.loanAmountPaise);
    expect(richer.monthlyIncomePaise * 48).toBeGreaterThan(richer.loanAmountPaise);
  });

  test('a document is read when its turn has come, and one that is stored is known at once', async ({ desk }) => {
    const analyst = await desk.as('ana', 'analyst');
    const over = new AbortController();
    const checking = publish(analyst, 'checked', withMinimum(653)).finally(() => over.abort());
    const times = { refused: 0, known: 0 };
    const refusing = async () => {
      while (!over.signal.aborted) {
        expect(await publish(analyst, 'none', '{}')).toMatchObject({ code: 'POLICY_INVALID' });
        times.refused += 1;
      }
    };
    const repeating = async () => {
      while (!over.signal.aborted) {
        expect(await publish(analyst, 'seed-1', seed)).toBeUndefined();
        times.known += 1;
      }
    };
    await Promise.all([checking, refusing(), repeating()]);
    expect(await checking).toBeUndefined();
    // A few may come before it, and one is waiting when it is over.
    expect(times.known, JSON.stringify(times)).toBeGreaterThan(8 * times.refused);
  });

  test('what is no policy at all is refused, and nothing of it is repeated that is a PAN', async ({ desk }) => {
    const analyst = await desk.as('ana', 'analyst');
    const deep = `{"nodes":[],"edges":[],"x":${'['.repeat(7_000)}${']'.repeat(7_000)}}`;
    const unsayable = seed.replace('{', '{"x":1e999,');
    for (const document of ['', '{', '[]', '{"nodes":[],"edges":[]}', '{"nodes":"ABCDE1234F"}', deep, unsayable]) {
      const refused = await publish(analyst, 'none', document);
      expect(refused).toMatchObject({
        code: 'POLICY_INVALID',
        findings: expect.arrayContaining([expect.objectContaining({ kind: 'UNREADABLE' })]),
      });
      expect(JSON.stringify(refused)).not.toContain('ABCDE1234F');
    }
  });

  test('a version is stored once: the same document again is the same, another is refused', async ({ desk }) => {
    const analyst = await desk.as('ana', 'analyst');
    expect(await publish(analyst, 'once', withMinimum(651))).toBeUndefined();
    expect(await publish(await desk.as('bo', 'analyst'), 'once', withMinimum(651))).toBeUndefined();
    expect(await publish(analyst, 'once', withMinimum(652))).toMatchObject({
      code: 'VALIDATION_FAILED',
      issues: [{ path: ['input', 'version'], code: 'TAKEN' }],
    });
    expect(await publish(analyst, 'Not a version', seed)).toMatchObject({ code: 'VALIDATION_FAILED' });
  });
});

describe('choosing', () => {
  test('there is always one that decides', async ({ desk }) => {
    const analyst = await desk.as('ana', 'analyst');
    for (const mode of ['INACTIVE', 'SHADOW']) {
      const { errors } = await analyst.request(modeDocument, { version: 'seed-1', mode });
      expect(errors?.[0]?.extensions?.['code']).toBe('VALIDATION_FAILED');
    }
    const { errors } = await analyst.request(modeDocument, { version: 'unknown', mode: 'ACTIVE' });
    expect(errors?.[0]?.extensions?.['code']).toBe('NOT_FOUND');
  });

  test('of many who choose at once one is last, one decides, and each change is told', async ({ desk, database }) => {
    const analysts = await Promise.all(['ana', 'bo'].map((name) => desk.as(name, 'analyst')));
    type Change = { version: string; mode: string; by: string; at: string };
    const changesSince = async (id: string) => {
      const { rows } = await sql<Change>`
        select version, mode, changed_by as by, changed_at as at from policy_changes where id > ${id}::bigint
        order by id`.execute(database.sql());
      return rows;
    };
    const before = await modesOf(analysts[0] as TestClient);
    const { rows: start } = await sql<{ id: string; at: string }>`
      select max(id) as id, now()::timestamptz(3) as at from policy_changes`.execute(database.sql());
    const wishes = ['seed-1', 'foir-1', 'once'].flatMap((version) =>
      ['ACTIVE', 'SHADOW'].map((mode) => ({ version, mode })),
    );
    const asked = Array.from({ length: 8 }, () => wishes).flat();
    const answers = await Promise.all(
      asked.map((wish, index) => (analysts[index % 2] as TestClient).request(modeDocument, wish)),
    );
    const codes = answers.map(({ errors }) => errors?.[0]?.extensions?.['code']);
    expect(codes.filter((code) => code !== undefined && code !== 'VALIDATION_FAILED')).toEqual([]);
    const changes = await changesSince(start[0]?.id ?? '');
    expect(new Set(changes.map(({ by }) => by))).toEqual(new Set(['analyst:ana', 'analyst:bo']));
    const { rows: end } = await sql<{ at: string }>`select now() as at`.execute(database.sql());
    for (const { at } of changes) {
      expect(Date.parse(at)).toBeGreaterThanOrEqual(Date.parse(start[0]?.at ?? ''));
      expect(Date.parse(at)).toBeLessThanOrEqual(Date.parse(end[0]?.at ?? ''));
    }
    // Told one after the other, they lead to what is there now; at no moment do two decide, and nobody is told twice.
    const modes = new Map(Object.entries(before));
    for (const { version, mode } of changes) {
      expect(modes.get(version)).not.toBe(mode);
      modes.set(version, mode);
      for (const only of ['ACTIVE', 'SHADOW']) {
        expect([...modes.values()].filter((one) => one === only).length).toBeLessThanOrEqual(1);
      }
    }
    expect(Object.fromEntries(modes)).toEqual(await modesOf(analysts[0] as TestClient));
    expect([...modes.values()].filter((mode) => mode === 'ACTIVE')).toHaveLength(1);
    await setMode(analysts[0] as TestClient, 'seed-1', 'ACTIVE');
  });

  test('a version that none can have is refused, wherever it stands', async ({ desk }) => {
    const analyst = await desk.as('ana', 'analyst');
    for (const version of ['a\u0000', '', 'A', 'a'.repeat(65)]) {
      const answers = await Promise.all([
        analyst.request(modeDocument, { version, mode: 'ACTIVE' }),
        analyst.request(`mutation { setPolicyMode(version: ${JSON.stringify(version)}, mode: ACTIVE) { version } }`),
        analyst.request(publishDocument, { input: { version, document: seed } }),
        analyst.request(simulateDocument, { input: { version } }),
      ]);
      const refused = answers.map(({ errors }) => errors?.map(({ extensions }) => extensions));
      const at = (...path: string[]) => [
        expect.objectContaining({ code: 'VALIDATION_FAILED', issues: [expect.objectContaining({ path })] }),
      ];
      expect(refused, JSON.stringify(version)).toEqual([
        at('version'),
        at('version'),
        at('input', 'version'),
        at('input', 'version'),
      ]);
    }
    for (const document of ['a\u0000', '\ud800']) {
      for (const [operation, input] of [
        [publishDocument, { version: 'x', document }],
        [simulateDocument, { document }],
      ] as const) {
        const { errors } = await analyst.request(operation, { input });
        expect(errors?.[0]?.extensions).toMatchObject({ code: 'VALIDATION_FAILED' });
      }
    }
  });

  test('what a stored policy says cannot be changed, not even by the owner of the database', async ({ database }) => {
    for (const statement of [
      sql`update policies set document = '{}' where version = 'seed-1'`,
      sql`delete from policies where version = 'foir-1'`,
      sql`delete from policy_changes`,
    ]) {
      await expect(statement.execute(database.sql())).rejects.toThrow('append-only');
    }
  });
});

describe('simulating', () => {
  const simulate = async (client: TestClient, input: unknown) => {
    const { data, errors } = await client.request(simulateDocument, { input });
    return { simulated: data?.simulatePolicy, error: errors?.[0]?.extensions };
  };

  test('ten thousand past applications within ten seconds, while others are answered', async ({
    stack,
    desk,
    database,
  }) => {
    await sql`
      with stored as (
        insert into applications (id, pan_ciphertext, pan_index, pan_masked, monthly_income_inr, loan_amount_inr,
          loan_type, status, cibil_score, version, correlation_id, synthetic, created_at)
        select gen_random_uuid(), '\\x01', '\\x01', 'ABCDE***4F', 75000, 500000, 'AUTO', 'PRE_APPROVED', 600 + n % 200, 2,
          'a-test', false, now() - n * interval '1 second' from generate_series(1, 10000) n
        returning id, cibil_score)
      insert into decisions (application_id, version, outcome, decided_by, policy_version, policy_hash, inputs,
        bureau_report, reasons, decided_at)
      select id, 2, case when cibil_score < 650 then 'REJECTED' else 'PRE_APPROVED' end, 'POLICY', 'seed-1', '',
        '{"monthlyIncomeInr": "75000.00", "loanAmountInr": "500000.00", "loanType": "AUTO"}',
        jsonb_build_object('result', 'SCORED', 'score', cibil_score, 'bureau', 'test'),
        '[{"code": "A", "message": "b"}]', now() from stored`.execute(database.sql());
    const analyst = await desk.as('ana', 'analyst');
    const startedAt = performance.now();
    const filter = { loanTypes: ['AUTO'], statuses: ['PRE_APPROVED'] };
    const simulating = simulate(analyst, { document: withMinimum(700), filter, limit: 10_000 });
    const waits: number[] = [];
    const over = new AbortController();
    void simulating.finally(() => over.abort());
    while (!over.signal.aborted) {
      const askedAt = performance.now();
      await stack.client.request('{ __typename }');
      waits.push(performance.now() - askedAt);
      // Others ask now and then: all the time they would take a processor of their own.
      await delay(20);
    }
    expect(await simulating).toEqual({
      simulated: {
        evaluated: 10_000,
        changed: 2_500,
        // A quarter of them has 650 to 699.
        transitions: [{ from: 'PRE_APPROVED', to: 'REJECTED', count: 2_500 }],
      },
      error: undefined,
    });
    expect(performance.now() - startedAt).toBeLessThan(10_000);
    expect(waits.length).toBeGreaterThan(10);
    expect(Math.max(...waits)).toBeLessThan(1_000);
  });

  test('takes the most recent ones first, also where it reads them in several goes, and no more than it is told to', async ({
    desk,
  }) => {
    const analyst = await desk.as('ana', 'analyst');
    const ofThem = (limit: number) =>
      simulate(analyst, { document: withMinimum(700), filter: { loanTypes: ['AUTO'] }, limit });
    // Of the newest 99 the last 50 have 650 to 699; the oldest 1,500 would be 350.
    for (const [limit, changed] of [
      [1, 0],
      [50, 1],
      [99, 50],
      [1_500, 400],
    ] as const) {
      expect((await ofThem(limit)).simulated).toMatchObject({ evaluated: limit, changed });
    }
  });

  test('takes what the filter lets through and nothing else', async ({ desk, database }) => {
    const analyst = await desk.as('ana', 'analyst');
    /** minutes ago, status, loan type, score */
    const past = [
      [1, 'PRE_APPROVED', 'HOME', 660],
      [2, 'REJECTED', 'HOME', 690],
      [3, 'PRE_APPROVED', 'HOME', 800],
      [4, 'PRE_APPROVED', 'HOME', 650],
    ];
    await sql`
      with stored as (
        insert into applications (id, pan_ciphertext, pan_index, pan_masked, monthly_income_inr, loan_amount_inr,
          loan_type, status, cibil_score, version, correlation_id, synthetic, created_at)
        select gen_random_uuid(), '\\x01', '\\x01', 'ABCDE***4F', 75000, 500000, p->>2, p->>1, (p->>3)::int, 2, 'a-test',
          false, now() - (p->>0)::int * interval '1 minute' from jsonb_array_elements(${JSON.stringify(past)}::jsonb) p
        returning id, cibil_score, loan_type)
      insert into decisions (application_id, version, outcome, decided_by, policy_version, policy_hash, inputs,
        bureau_report, reasons, decided_at)
      select id, 2, 'PRE_APPROVED', 'POLICY', 'seed-1', '', jsonb_build_object('monthlyIncomeInr', '75000.00',
        'loanAmountInr', '500000.00', 'loanType', loan_type), jsonb_build_object('result', 'SCORED', 'score',
        cibil_score, 'bureau', 'test'), '[{"code": "A", "message": "b"}]', now() from stored`.execute(database.sql());
    const minutesAgo = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString();
    for (const [filter, evaluated, changed] of [
      [{}, 4, 3],
      [{ statuses: ['PRE_APPROVED'] }, 3, 2],
      [{ createdAfter: minutesAgo(2.5) }, 2, 2],
      [{ createdBefore: minutesAgo(2.5) }, 2, 1],
      [{ createdBefore: minutesAgo(1.5), createdAfter: minutesAgo(3.5), statuses: ['PRE_APPROVED'] }, 1, 0],
      [{ statuses: ['MANUAL_REVIEW'] }, 0, 0],
      [{ panNumber: 'ABCPE1234F' }, 0, 0],
    ] as const) {
      const input = { document: withMinimum(700), filter: { loanTypes: ['HOME'], ...filter } };
      expect((await simulate(analyst, input)).simulated, JSON.stringify(filter)).toMatchObject({ evaluated, changed });
    }
  });

  test.for<[string, unknown, string]>([
    ['an unknown version', { version: 'unknown' }, 'NOT_FOUND'],
    ['a document that is none', { document: '{}' }, 'POLICY_INVALID'],
    ['neither version nor document', {}, 'VALIDATION_FAILED'],
    ['both', { version: 'seed-1', document: seed }, 'VALIDATION_FAILED'],
    ['too many', { version: 'seed-1', limit: 10_001 }, 'VALIDATION_FAILED'],
    ['none', { version: 'seed-1', limit: 0 }, 'VALIDATION_FAILED'],
    ['a document without a verdict', { document: seed.replaceAll('>= minimumScore', '> 900') }, 'POLICY_INVALID'],
  ])('%s is refused', async ([, input, code], { stack, desk }) => {
    await watchToEnd(stack.client, await submit(stack.client));
    expect((await simulate(await desk.as('ana', 'analyst'), input)).error).toMatchObject({ code });
  });
});

describe.for<[string, string, unknown]>([
  ['policies', listDocument, {}],
  ['publishPolicy', publishDocument, { input: { version: 'x', document: 'x' } }],
  ['setPolicyMode', modeDocument, { version: 'x', mode: 'ACTIVE' }],
  ['simulatePolicy', simulateDocument, { input: { version: 'x' } }],
])('%s', ([, document, variables]) => {
  test.for(['underwriter', 'analyst', 'operator', 'auditor', 'nobody', 'anonymous'])(
    'as %s',
    async (role, { stack, desk }) => {
      const client = role === 'anonymous' ? stack.client : await desk.as('sam', ...(role === 'nobody' ? [] : [role]));
      const codes =
        (await client.request(document, variables)).errors?.map(({ extensions }) => extensions?.['code']) ?? [];
      if (role === 'analyst') expect(codes).not.toContain('FORBIDDEN');
      else expect(codes).toEqual([role === 'anonymous' ? 'UNAUTHENTICATED' : 'FORBIDDEN']);
    },
  );
});
