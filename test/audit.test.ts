import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { issueToken } from '@prequal/identity';
import { openDatabase, sql } from '@prequal/persistence';
import { subjectOf } from '@prequal/schema';
import { connectClient, type TestClient, type TestDatabase } from '@prequal/testing';
import { describe, expect, vi } from 'vitest';
import { audit } from '../libs/operator/src/audit.ts';
import { test as base, lookUpDocument, submit, type TestStack, watchDocument, watchToEnd } from './stack.ts';

const verifyDocument = 'query ($id: ID!) { verifyDecision(applicationId: $id) { applicationId intact findings } }';
const eraseDocument = `mutation ($id: ID!, $reason: String!) {
  eraseApplicant(applicationId: $id, reason: $reason) {
    id status version maskedPan applicantName updatedAt history { version status actor reasons { code message } } }
}`;

type Auditor = TestClient & { verify: (id: string) => Promise<{ intact: boolean; findings: string[] }> };

async function auditorOf(stack: TestStack): Promise<Auditor> {
  const dataDir = stack.envOf('gateway')['PREQUAL_DATA_DIR'] ?? '';
  const wishes = { ttlSeconds: 3_600, audience: 'prequal', rolesClaim: 'roles', subject: 'noor', roles: ['auditor'] };
  const client = connectClient(stack.client.url.replace(/\/graphql$/, ''), await issueToken(dataDir, wishes as never));
  return {
    ...client,
    verify: async (id) => {
      const { data, errors } = await client.request(verifyDocument, { id });
      expect(errors).toBeUndefined();
      expect(data.verifyDecision.applicationId).toBe(id);
      return data.verifyDecision;
    },
  };
}

const test = base.extend<{ $file: { auditor: Auditor; folder: string } }>({
  auditor: [
    async ({ stack }, use) => {
      await using auditor = await auditorOf(stack);
      await use(auditor);
    },
    { scope: 'file' },
  ],
  folder: [
    // oxlint-disable-next-line eslint/no-empty-pattern -- vitest reads the parameter's pattern
    async ({}, use) => {
      const folder = await mkdtemp(path.join(tmpdir(), 'prequal-audit-'));
      await use(folder);
      await rm(folder, { recursive: true });
    },
    { scope: 'file' },
  ],
});

async function decided(client: TestClient, input: Record<string, unknown> = {}): Promise<string> {
  const id = await submit(client, input);
  await watchToEnd(client, id);
  return id;
}

/** `npm run audit -- …` as an auditor types it, who may read and nothing else. */
async function npmRunAudit(folder: string, args: string[], database?: TestDatabase) {
  const { DATABASE_URL: _, READER_DATABASE_URL: __, ...env } = process.env;
  const mine = { ...env, INIT_CWD: folder, ...(database && { READER_DATABASE_URL: database.urls.reader }) };
  const main = path.join(import.meta.dirname, '../libs/operator/src/audit/main.ts');
  return promisify(execFile)(process.execPath, [main, ...args], { env: mine }).then(
    ({ stdout }) => ({ code: 0, output: stdout }),
    (error: { code: number; stdout: string; stderr: string }) => ({
      code: error.code,
      output: error.stdout + error.stderr,
    }),
  );
}

describe('an auditor', () => {
  test('verifies a decision, exports its evidence, checks the file offline, and finds a byte that was changed', async ({
    stack,
    auditor,
    database,
    folder,
  }) => {
    const id = await decided(stack.client);
    expect(await auditor.verify(id)).toMatchObject({ intact: true, findings: [] });

    const exported = await npmRunAudit(folder, [id], database);
    expect(exported).toMatchObject({ code: 0, output: expect.stringContaining('Intact.') });
    const file = path.join(folder, `evidence-${id}.json`);
    expect(await npmRunAudit(folder, ['--verify', file])).toEqual({
      code: 0,
      output: expect.stringMatching(
        /^Intact\.\nApplication .* PRE_APPROVED, version 2, .*\nPolicy seed-1: [0-9a-f]{64}\n$/,
      ),
    });
    // Not over one that an auditor has kept.
    const again = {
      openDatabase: () =>
        openDatabase({ databaseUrl: database.urls.reader, poolMax: 1, applicationName: 'audit-test' }),
      folder,
      say: () => undefined,
      now: () => new Date(),
    };
    await expect(audit(again, [id])).rejects.toThrow(/EEXIST/);

    const evidence = await readFile(file);
    expect(evidence.toString()).not.toMatch(/ABCDE|Sandbox Applicant/);
    const place = evidence.indexOf('500000.00');
    evidence.write('6', place);
    await writeFile(path.join(folder, 'changed.json'), evidence);
    const changed = await npmRunAudit(folder, ['--verify', 'changed.json']);
    expect(changed).toMatchObject({ code: 1, output: expect.stringContaining('NOT intact') });
  });

  test('finds what somebody with all rights has changed, removed or inserted', async ({ stack, auditor, database }) => {
    const tampering: [string, string, RegExp][] = [
      [
        'events',
        `update application_events set reasons = '[]' where application_id = $1 and version = 2`,
        /was changed/,
      ],
      [
        'events',
        `update application_events set occurred_at = occurred_at - interval '1 ms' where application_id = $1 and version = 1`,
        /was changed/,
      ],
      ['events', 'delete from application_events where application_id = $1 and version = 1', /not the first one/],
      ['events', 'delete from application_events where application_id = $1 and version = 2', /history ends with/],
      [
        'events',
        `insert into application_events (id, application_id, version, status, actor, reasons, payload, previous_hash, hash)
          select gen_random_uuid(), application_id, 3, 'PRE_APPROVED', actor, reasons, payload, hash, sha256('x')
          from application_events where application_id = $1 and version = 2`,
        /history ends with/,
      ],
      [
        'decisions',
        `update decisions set inputs = inputs || '{"loanType": "AUTO"}' where application_id = $1`,
        /inputs.* were changed/,
      ],
      [
        'decisions',
        `update decisions set bureau_report = jsonb_set(bureau_report, '{score}', '791') where application_id = $1`,
        /were changed/,
      ],
      ['decisions', 'delete from decisions where application_id = $1', /No decision is stored/],
      ['', 'update applications set loan_amount_inr = 1 where id = $1', /not those that were submitted/],
      ['', 'update applications set consent = null where id = $1', /not those that were submitted/],
      ['', 'update applications set cibil_score = 800 where id = $1', /has the score 800/],
    ];
    for (const [table, statement, expected] of tampering) {
      const consent = { purpose: 'CREDIT_ASSESSMENT', noticeVersion: '1', language: 'en-IN', givenAt: new Date() };
      const id = await decided(stack.client, { consent });
      expect(await auditor.verify(id)).toMatchObject({ intact: true, findings: [] });
      const trigger = (what: string) =>
        table === 'events'
          ? `alter table application_events ${what} trigger application_events_append_only;`
          : table === 'decisions'
            ? `alter table decisions ${what} trigger decisions_append_only;`
            : 'select 1;';
      await sql.raw(trigger('disable')).execute(database.sql());
      await sql.raw(statement.replaceAll('$1', `'${id}'`)).execute(database.sql());
      await sql.raw(trigger('enable')).execute(database.sql());
      const { intact, findings } = await auditor.verify(id);
      expect(findings.join('\n'), statement).toMatch(expected);
      expect(intact, statement).toBe(false);
    }
  });

  test.for<[string, string, Record<string, unknown>, string]>([
    ['an unknown id', verifyDocument, { id: '01890000-0000-7000-8000-000000000000' }, 'NOT_FOUND'],
    ['an id that is none', verifyDocument, { id: 'x' }, 'NOT_FOUND'],
    ['an unknown id to erase', eraseDocument, { id: '01890000-0000-7000-8000-000000000000', reason: 'x' }, 'NOT_FOUND'],
    ['no reason', eraseDocument, { id: 'x', reason: ' ' }, 'VALIDATION_FAILED'],
    ['a reason with a PAN', eraseDocument, { id: 'x', reason: 'of ABCDE1234F' }, 'VALIDATION_FAILED'],
  ])('is refused for %s', async ([, document, variables, code], { auditor }) => {
    const { errors } = await auditor.request(document, variables);
    expect(errors?.[0]?.extensions?.['code']).toBe(code);
  });
});

/** Where the ciphertext, the index or the name of one application still stands, as the servers' owners see it. */
async function tracesOf(database: TestDatabase, storeDir: string, secrets: Buffer[]): Promise<string[]> {
  const found: string[] = [];
  const { rows: tables } = await sql<{ name: string }>`
    select tablename as name from pg_tables where schemaname = 'public'`.execute(database.sql());
  for (const { name } of tables) {
    const { rows } = await sql.raw<{ row: string }>(`select t::text as row from ${name} t`).execute(database.sql());
    for (const secret of secrets) {
      const forms = [secret.toString('hex'), secret.toString('base64'), secret.toString('latin1')];
      // A message within bytea is its digits.
      forms.push(Buffer.from(secret.toString('base64')).toString('hex'));
      if (rows.some(({ row }) => forms.some((form) => row.includes(form)))) found.push(name);
    }
  }
  for (const entry of await readdir(storeDir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const content = await readFile(path.join(entry.parentPath, entry.name)).catch(() => Buffer.alloc(0));
    const forms = secrets.flatMap((secret) => [secret, Buffer.from(secret.toString('base64'))]);
    if (forms.some((form) => content.includes(form))) found.push(entry.name);
  }
  return found;
}

async function secretsOf(database: TestDatabase, id: string): Promise<Buffer[]> {
  const { rows } = await sql<{ ciphertext: Buffer; index: Buffer; fingerprint: Buffer; name: string }>`
    select pan_ciphertext as ciphertext, pan_index as index, fingerprint, applicant_name as name
    from applications a join idempotency_keys k on k.application_id = a.id where a.id = ${id}`.execute(database.sql());
  const [row] = rows;
  if (!row) throw new Error('the application is there with its idempotency key');
  return [row.ciphertext, row.index, row.fingerprint, Buffer.from(row.name)];
}

describe('an applicant who is erased', () => {
  const reason = 'Asked for by the applicant.';
  const personal = (panNumber: string) => ({
    panNumber,
    applicantName: `Mx Erased ${panNumber.slice(0, 5)}`,
    idempotencyKey: randomUUID(),
    // Scored 655 at least, and more than the income suffices for: an underwriter looks at it.
    loanType: 'HOME',
    monthlyIncomeInr: '60000.00',
    loanAmountInr: '9600000.00',
  });

  test('leaves no trace in database and streams, also when NATS was away; decision and evidence stay', async ({
    stack,
    auditor,
    database,
    nats,
  }) => {
    const input = personal('ERAZE1234E');
    // Others before and after it: the file that holds the message stays.
    await submit(stack.client);
    const id = await submit(stack.client, input);
    await submit(stack.client);
    const watcher = stack.client.subscribe('ws', watchDocument, { id, after: 1 });
    expect((await watcher.next()).value.data.applicationStatus).toMatchObject({ status: 'MANUAL_REVIEW', version: 2 });
    const secrets = await secretsOf(database, id);
    // What a worker gave up and an operator has not looked at; and a copy that nobody has recorded yet.
    await sql`insert into dead_letters (id, consumer, subject, application_id, error_class, error, deliveries, payload)
      values (${randomUUID()}, 'scoring', ${subjectOf('applicationSubmitted', id)}, ${id}, 'HANDLER_FAILED', 'a test', 6,
        ${Buffer.from(secrets[0]?.toString('base64') ?? '')})`.execute(database.sql());
    const { js, jsm } = await nats.broker.jetStream();
    const copies = ['scoring', 'decisioning'].map((consumer) => `loan.dlq.${consumer}.${id}`);
    for (const subject of copies) await js.publish(subject, secrets[0]?.toString('base64') ?? '');
    await vi.waitFor(async () => {
      const { num_pending, num_ack_pending } = await jsm.consumers.info('LOAN_DLQ', 'dead-letters');
      expect({ num_pending, num_ack_pending }).toEqual({ num_pending: 0, num_ack_pending: 0 });
    }, 10_000);
    // As a worker's would say; without that they belong to nobody.
    await sql`update dead_letters set application_id = ${id} where application_id is null`.execute(database.sql());
    expect(await tracesOf(database, nats.storeDir, secrets)).toEqual(
      expect.arrayContaining(['applications', 'idempotency_keys', 'dead_letters', '1.blk']),
    );

    const outage = await nats.away();
    // As an operator's replay does while NATS is away.
    await sql`insert into outbox (id, application_id, subject, message)
      values (${randomUUID()}, ${id}, ${subjectOf('applicationSubmitted', id)}, ${secrets[0]?.toString('base64')})`.execute(
      database.sql(),
    );
    const { data, errors } = await auditor.request(eraseDocument, { id, reason });
    expect(errors).toBeUndefined();
    expect(data.eraseApplicant).toMatchObject({
      id,
      status: 'MANUAL_REVIEW',
      version: 2,
      maskedPan: '**********',
      applicantName: null,
    });
    expect(data.eraseApplicant.history.slice(1)).toEqual([
      expect.objectContaining({ version: 2, status: 'MANUAL_REVIEW', actor: 'decisioning' }),
      {
        version: 2,
        status: 'MANUAL_REVIEW',
        actor: 'auditor:noor',
        reasons: [{ code: 'APPLICANT_ERASED', message: reason }],
      },
    ]);
    expect((await tracesOf(database, nats.storeDir, secrets)).filter((name) => !name.endsWith('.blk'))).toEqual([]);
    await outage[Symbol.asyncDispose]();
    await vi.waitFor(async () => expect(await tracesOf(database, nats.storeDir, secrets)).toEqual([]), 15_000);
    // The test's own connection may come back later than theirs.
    const left = () => Promise.allSettled(copies.map((of) => jsm.streams.getMessage('LOAN_DLQ', { last_by_subj: of })));
    const isGone = { status: 'rejected', reason: expect.objectContaining({ message: 'no message found' }) };
    await vi.waitFor(async () => expect(await left()).toEqual([isGone, isGone]), 15_000);

    // Once more changes nothing, and nobody brings back what is gone.
    expect((await auditor.request(eraseDocument, { id, reason: 'Again.' })).data.eraseApplicant).toEqual(
      data.eraseApplicant,
    );
    const again = await stack.client.request(
      'mutation ($input: SubmitApplicationInput!) { submitApplication(input: $input) { replayed } }',
      {
        input,
      },
    );
    expect(again.errors?.[0]?.extensions?.['code']).toBe('IDEMPOTENCY_KEY_REUSED');
    for (const column of ["applicant_name = 'x'", "pan_ciphertext = '\\x01'", "pan_masked = 'ABCDE***4F'"]) {
      await expect(
        sql.raw(`update applications set ${column} where id = '${id}'`).execute(database.sql()),
      ).rejects.toThrow(/erased for good/);
    }
    expect(await auditor.verify(id)).toEqual({ applicationId: id, intact: true, findings: [] });

    // Who comes now is told why it is in review, not that it was erased.
    const late = stack.otherClient.subscribe('sse', watchDocument, { id });
    expect((await late.next()).value.data.applicationStatus).toMatchObject({
      version: 2,
      reasons: [{ code: 'INCOME_INSUFFICIENT' }, { code: 'SCORE_SUFFICIENT' }],
    });
    await late.return?.();

    // An underwriter may still decide, and who watched all the time is told that and nothing else.
    await sql`insert into review_claims (application_id, claimed_by, expires_at)
      values (${id}, 'asha', now() + interval '1 minute')`.execute(database.sql());
    await using asha = connectClient(
      stack.client.url.replace(/\/graphql$/, ''),
      await issueToken(stack.envOf('gateway')['PREQUAL_DATA_DIR'] ?? '', {
        ttlSeconds: 60,
        audience: 'prequal',
        rolesClaim: 'roles',
        subject: 'asha',
        roles: ['underwriter'],
      }),
    );
    const resolved = await asha.request(
      `mutation ($id: ID!) { resolveReview(input: { applicationId: $id, outcome: REJECTED, reasonCode: "OTHER", comment: "No." }) {
        application { status } } }`,
      { id },
    );
    expect(resolved.errors).toBeUndefined();
    expect((await watcher.next()).value.data.applicationStatus).toMatchObject({ status: 'REJECTED', version: 3 });
    expect(await watcher.next()).toMatchObject({ done: true });
    expect((await watchToEnd(stack.client, id, { after: 1 })).map(({ version }) => version)).toEqual([2, 3]);
    expect(await auditor.verify(id)).toMatchObject({
      intact: true,
      findings: [expect.stringContaining('underwriter:asha')],
    });
    expect(
      (await stack.client.request(lookUpDocument, { id })).data.application.history.map(
        ({ version }: { version: number }) => version,
      ),
    ).toEqual([1, 2, 2, 3]);
  }, 60_000);

  test('is refused while it is PENDING, and for a reason that repeats the name', async ({ stack, auditor }) => {
    const paused = await stack.without('scoring');
    const id = await submit(stack.client, personal('ERAZG1234G'));
    const code = async (text: string) =>
      (await auditor.request(eraseDocument, { id, reason: text })).errors?.[0]?.extensions?.['code'];
    expect(await code(reason)).toBe('STILL_PENDING');
    expect(await auditor.verify(id)).toMatchObject({
      intact: true,
      findings: [expect.stringContaining('still PENDING')],
    });
    await paused[Symbol.asyncDispose]();
    await vi.waitFor(async () => expect(await code('for mx  erased ERAZG')).toBe('VALIDATION_FAILED'), 10_000);
    // A part of it is enough; what is no word of it, or too short to be told from others, is not.
    for (const text of ['Erazg asked.', 'for “ERASED”']) expect(await code(text), text).toBe('VALIDATION_FAILED');
    expect(await code('Mx: unerased, ERAZGX.')).toBeUndefined();
  });
});
