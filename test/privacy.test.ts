import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { databaseRoles, sql } from '@prequal/persistence';
import { expect, test } from 'vitest';
import { nameMark, panMark } from './chaos/applicants.ts';
import { createHistory } from './chaos/history.ts';
import { createLoad } from './chaos/load.ts';
import { findPersonalData } from './chaos/privacy.ts';
import { untilQuiet } from './chaos/quiet.ts';
import { type System, startSystem } from './chaos/system.ts';
import { submitDocument } from './stack.ts';

// Masked, a PAN keeps its letters and no digit beside them.
const marks = new RegExp(`${panMark}\\d|${nameMark}`, 'i');

/** Every way in which a client may put a PAN or a name where none belongs. */
async function misplace(url: string): Promise<void> {
  const pan = `${panMark}1234Z`;
  const name = `Mx ${nameMark}`;
  const post = async (body: unknown, headers: Record<string, string> = {}, search = '') => {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const answer = await fetch(`${url}/graphql${search}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: text,
    });
    expect(answer.status).toBeLessThan(500);
    await answer.body?.cancel();
  };
  const input = { panNumber: pan, monthlyIncomeInr: pan, loanAmountInr: pan, loanType: pan, applicantName: name };
  await post({ query: submitDocument, variables: { input } });
  await post({ query: submitDocument, variables: { input: { ...input, [pan]: name } } });
  await post({ query: `mutation { submitApplication(input: { panNumber: ${pan} }) { replayed } }` });
  await post({ query: `{ application(id: "${pan}") { id } ${pan} }`, operationName: name });
  await post(`{"query":"${pan}`);
  await post(
    { query: '{ __typename }' },
    { 'x-correlation-id': pan, traceparent: pan, 'user-agent': name, authorization: pan },
  );
  await post({ query: '{ __typename }' }, {}, `?pan=${pan}&name=${encodeURIComponent(name)}`);
  const lookUp = await fetch(`${url}/${pan}?variables=${pan}`);
  await lookUp.body?.cancel();
}

type Column = { table: string; column: string };

/** What one role may read, column by column, as text. */
async function readableBy(system: System, role: string): Promise<Map<string, string>> {
  const { rows } = await sql<Column>`
    select c.table_name as "table", c.column_name as "column" from information_schema.columns c
    join information_schema.tables t using (table_schema, table_name)
    where c.table_schema = 'public' and t.table_type = 'BASE TABLE'
      and has_column_privilege(${role}, format('public.%I', c.table_name), c.column_name, 'select')`.execute(
    system.database.sql(),
  );
  const found = new Map<string, string>();
  for (const { table, column } of rows) {
    const { rows: values } = await sql<{ value: string | null }>`
      select ${sql.ref(column)}::text as value from ${sql.table(table)}`.execute(system.database.sql());
    // Bytes come as digits, in which a PAN would go unseen.
    const readable = values.map(({ value }) => (value?.startsWith('\\x') ? fromHex(value) : value));
    found.set(`${table}.${column}`, readable.join('\n'));
  }
  return found;
}

const fromHex = (value: string) => Buffer.from(value.slice(2), 'hex').toString('latin1');

test('a PAN or a name stands in clear nowhere but where it belongs', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'prequal-privacy-'));
  await chmod(folder, 0o755);
  try {
    await using history = createHistory(path.join(folder, 'history.jsonl'));
    await using system = await startSystem(folder, history, () => undefined);
    const [gateway] = system.clientLinks;
    const gatewayUrl = `http://127.0.0.1:${gateway?.port}`;
    await using load = createLoad({ seed: 5, rate: 20, gatewayUrls: [gatewayUrl], history });
    load.submitMarked('throws');
    load.submitMarked('noHistory');
    await load.run(AbortSignal.timeout(4_000));
    await misplace(gatewayUrl);
    // A failed statement is what puts values into messages and logs.
    await system.postgres.restart({ signal: 'SIGQUIT', downMs: 200 });
    await load.run(AbortSignal.timeout(2_000));
    expect(await untilQuiet(system, load, 30_000)).toHaveProperty('tookMs');

    expect(load.submissions.length).toBeGreaterThan(100);
    expect(await findPersonalData(system)).toEqual([]);
    for (const { name, address } of system.services) {
      const metrics = await (await fetch(`${address}/metrics`)).text();
      expect(metrics.length, name).toBeGreaterThan(1_000);
      expect(metrics, name).not.toMatch(marks);
    }
    for (const role of Object.values(databaseRoles)) {
      const readable = await readableBy(system, role);
      expect(readable.size, role).toBeGreaterThan(10);
      const telling = [...readable].filter(([, text]) => marks.test(text)).map(([column]) => column);
      expect(telling, role).toEqual(role === databaseRoles.gateway ? ['applications.applicant_name'] : []);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
