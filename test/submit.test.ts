import { randomBytes } from 'node:crypto';
import { startGateway } from '@prequal/gateway';
import { sql } from '@prequal/persistence';
import { connectClient } from '@prequal/testing';
import type { GraphQLError } from 'graphql';
import { expect } from 'vitest';
import { goodInput, lookUpDocument, submit, submitDocument, syntheticToken, test, watchToEnd } from './stack.ts';

/** The paths of all issues of an answer's first error. */
const issuesOf = (answer: { errors?: readonly GraphQLError[] }) => {
  const issues = answer.errors?.[0]?.extensions['issues'] as { path: string[] }[] | undefined;
  return issues?.map((issue) => issue.path.join('.')).toSorted();
};

test('50 requests at once with one key are one application and 50 equal answers', async ({ stack, database }) => {
  const input = { ...goodInput, idempotencyKey: 'fifty at once' };
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, index) =>
      (index % 2 === 0 ? stack.client : stack.otherClient).request(submitDocument, { input }),
    ),
  );
  const ids = new Set(answers.map(({ data }) => data.submitApplication.application.id));
  expect(ids.size).toBe(1);
  expect(answers.filter(({ data }) => !data.submitApplication.replayed)).toHaveLength(1);
  const { rows } =
    await sql`select 1 from idempotency_keys k join applications a on a.id = k.application_id where a.id = ${[...ids][0]}`.execute(
      database.sql(),
    );
  expect(rows).toHaveLength(1);
});

test('the same key with any other input is refused, and stores nothing', async ({ stack, database }) => {
  const key = 'used once';
  await submit(stack.client, { idempotencyKey: key });
  const counted = async () => (await sql`select id from applications`.execute(database.sql())).rows.length;
  const before = await counted();
  const others = [
    { panNumber: 'FGHIJ5678K' },
    { applicantName: 'Somebody Else' },
    { applicantName: null },
    { monthlyIncomeInr: '75000.01' },
    { loanAmountInr: '500000.01' },
    { loanType: 'HOME' },
  ];
  for (const other of others) {
    const { errors } = await stack.client.request(submitDocument, {
      input: { ...goodInput, ...other, idempotencyKey: key },
    });
    expect(errors, JSON.stringify(other)).toMatchObject([{ extensions: { code: 'IDEMPOTENCY_KEY_REUSED' } }]);
  }
  expect(await counted()).toBe(before);
});

test('a key used before the index keys were rotated still gives back its application', async ({ stack }) => {
  const input = { ...goodInput, idempotencyKey: 'before the rotation' };
  const first = await submit(stack.client, input);
  const newKey = `new:${randomBytes(32).toString('base64')}`;
  await using rotated = await startGateway({
    ...stack.envOf('gateway'),
    PAN_INDEX_KEYS: `${newKey},${stack.envOf('gateway')['PAN_INDEX_KEYS']}`,
  });
  await using client = connectClient(rotated.url);
  const { data } = await client.request(submitDocument, { input });
  expect(data.submitApplication).toMatchObject({ replayed: true, application: { id: first } });
});

test('a row that the database refuses does not fail those that came with it', async ({ stack, database }) => {
  await sql`alter table applications add constraint no_such_name check (applicant_name <> 'Refused by a rule')`.execute(
    database.sql(),
  );
  const names = ['Sandbox One', 'Refused by a rule', 'Sandbox Two'];
  const answers = await Promise.all(
    names.map((applicantName) => stack.client.request(submitDocument, { input: { ...goodInput, applicantName } })),
  );
  expect(answers.map(({ errors }) => errors?.[0]?.extensions['code'])).toEqual([undefined, 'INTERNAL', undefined]);
});

test('the same input in other words is the same input', async ({ stack }) => {
  const first = await submit(stack.client, { idempotencyKey: 'other words', monthlyIncomeInr: '75000.00' });
  const again = await stack.client.request(submitDocument, {
    input: {
      ...goodInput,
      applicantName: '  Sandbox Applicant ',
      monthlyIncomeInr: 75_000,
      idempotencyKey: 'other words',
    },
  });
  expect(again.data.submitApplication).toMatchObject({ replayed: true, application: { id: first } });
});

test('without a key the same input is another application', async ({ stack }) => {
  expect(await submit(stack.client)).not.toBe(await submit(stack.client));
});

test('every offending field is reported at once, with its path and without its value', async ({ stack }) => {
  const input = {
    panNumber: 'ABCDE1234f',
    applicantName: ' \t ',
    monthlyIncomeInr: '75000.005',
    loanAmountInr: -31337,
    loanType: 'YACHT-31337',
    idempotencyKey: '',
  };
  const answer = await stack.client.request(submitDocument, { input });
  expect(issuesOf(answer)).toEqual(
    Object.keys(input)
      .map((field) => `input.${field}`)
      .toSorted(),
  );
  expect(JSON.stringify(answer.errors)).not.toMatch(/ABCDE1234f|75000\.005|31337/);
});

test('faults in a literal are reported like faults in a variable', async ({ stack }) => {
  const answer = await stack.client.request(
    `mutation { submitApplication(input: { panNumber: 31337, monthlyIncomeInr: "0", loanAmountInr: 1.234, loanType: CAR }) { replayed } }`,
  );
  expect(answer.errors).toMatchObject([{ extensions: { code: 'VALIDATION_FAILED' } }]);
  expect(issuesOf(answer)).toEqual([
    'input.loanAmountInr',
    'input.loanType',
    'input.monthlyIncomeInr',
    'input.panNumber',
  ]);
  expect(JSON.stringify(answer.errors)).not.toMatch(/31337|1\.234/);
});

test('a fault in a variable inside a literal is reported where it stands', async ({ stack }) => {
  const answer = await stack.client.request(
    `mutation ($pan: String!) { submitApplication(input: { panNumber: $pan, monthlyIncomeInr: 1, loanAmountInr: 1, loanType: HOME }) { replayed } }`,
    { pan: 'no PAN' },
  );
  expect(issuesOf(answer)).toEqual(['input.panNumber']);
});

test.for([
  ['one paisa', '0.01', '0.01'],
  ['the largest amount', '9999999999.99', '9999999999.99'],
  ['one fraction digit', '75000.5', '75000.50'],
  ['a JSON integer', 75_000, '75000.00'],
  ['a JSON number', 75_000.25, '75000.25'],
])('%s is taken exactly', async ([, given, stored], { stack }) => {
  const { data } = await stack.client.request(submitDocument, { input: { ...goodInput, monthlyIncomeInr: given } });
  expect(data.submitApplication.application.monthlyIncomeInr).toBe(stored);
});

test.for([
  ['0'],
  ['0.00'],
  ['-1'],
  ['10000000000'],
  ['1.001'],
  ['1e3'],
  [' 1'],
  ['١٢'],
  [''],
  [null],
  [true],
  [[]],
  [{}],
  [1e21],
  [0.001],
])('the amount %j is refused', async ([given], { stack }) => {
  const answer = await stack.client.request(submitDocument, { input: { ...goodInput, loanAmountInr: given } });
  expect(issuesOf(answer)).toEqual(['input.loanAmountInr']);
});

test('a name may be anything a person is called, and nothing PostgreSQL cannot keep', async ({ stack }) => {
  for (const name of ['श्रीमती अंजलि', "D'Souza; drop table applications --", '𝒜'.repeat(255), 'a']) {
    const { data } = await stack.client.request(submitDocument, { input: { ...goodInput, applicantName: name } });
    expect(data.submitApplication.application.applicantName).toBe(name);
  }
  for (const name of ['Asha ABCDE1234F', '\u0000', 'a\u0000b', 'x'.repeat(256), '\u0007', '   ']) {
    const answer = await stack.client.request(submitDocument, { input: { ...goodInput, applicantName: name } });
    expect(issuesOf(answer), JSON.stringify(name)).toEqual(['input.applicantName']);
  }
});

test('the message of a refusal names every offending field and what it must be', async ({ stack }) => {
  const input = { ...goodInput, panNumber: 'wrong', loanAmountInr: '-1' };
  const { errors } = await stack.client.request(submitDocument, { input });
  expect(errors?.[0]?.message).toMatch(/^input\.loanAmountInr must be .*; input\.panNumber must be a PAN: /);
});

test('the PAN is in clear in no column, no message and no answer', async ({ stack, database, nats }) => {
  const panNumber = 'QWERT9876Z';
  const id = await submit(stack.client, { panNumber });
  await watchToEnd(stack.client, id);
  const tables = ['applications', 'application_events', 'decisions', 'outbox', 'idempotency_keys'];
  for (const table of tables) {
    const { rows } = await sql<{ row: string }>`select t::text as row from ${sql.table(table)} t`.execute(
      database.sql(),
    );
    expect(JSON.stringify(rows)).not.toContain(panNumber);
    expect(JSON.stringify(rows)).not.toContain(Buffer.from(panNumber).toString('hex'));
  }
  const { jsm } = await nats.broker.jetStream();
  for (const [stream, subject] of [
    ['LOAN_APPLICATIONS', 'submitted'],
    ['LOAN_STATUS', 'status'],
  ] as const) {
    const { data } = await jsm.streams.getMessage(stream, { last_by_subj: `loan.applications.${subject}.${id}` });
    const text = Buffer.from(data).toString();
    expect(text).not.toContain(panNumber);
    expect(text).not.toContain('Sandbox Applicant');
    expect(text).not.toContain(Buffer.from(panNumber).toString('base64').slice(0, 12));
  }
  const { data } = await stack.client.request(lookUpDocument, { id });
  expect(JSON.stringify(data)).not.toContain(panNumber);
});

test('the correlation id of a request is returned and goes with the application', async ({ stack, database }) => {
  const answer = await stack.client.request(submitDocument, { input: goodInput }, { 'x-correlation-id': 'partner-42' });
  expect(answer.headers.get('x-correlation-id')).toBe('partner-42');
  const { id } = answer.data.submitApplication.application;
  const { rows } = await sql`select correlation_id from applications where id = ${id}`.execute(database.sql());
  expect(rows).toEqual([{ correlation_id: 'partner-42' }]);
});

test('a correlation id that could forge a log line is replaced', async ({ stack }) => {
  const answer = await stack.client.request(submitDocument, { input: goodInput }, { 'x-correlation-id': 'a b"{}' });
  expect(answer.headers.get('x-correlation-id')).toMatch(/^[0-9a-f]{32}$/);
});

test('only the stack itself can mark an application as synthetic', async ({ stack, database }) => {
  const marked = async (token: string) => {
    const { data } = await stack.client.request(submitDocument, { input: goodInput }, { 'x-prequal-synthetic': token });
    const { rows } = await sql<{ synthetic: boolean }>`
      select synthetic from applications where id = ${data.submitApplication.application.id}`.execute(database.sql());
    return rows[0]?.synthetic;
  };
  expect(await marked(syntheticToken)).toBe(true);
  expect(await marked('a-token-for-tests-onlX')).toBe(false);
});

test('the outbox is empty once everything is decided', async ({ stack, database }) => {
  const ids = await Promise.all(Array.from({ length: 100 }, () => submit(stack.client)));
  const ends = await Promise.all(ids.map((id) => watchToEnd(stack.otherClient, id)));
  expect(ends.every((updates) => updates.at(-1)?.status === 'PRE_APPROVED')).toBe(true);
  await expect.poll(async () => (await sql`select 1 from outbox`.execute(database.sql())).rows.length).toBe(0);
});
