import { randomUUID } from 'node:crypto';
import { sql } from '@prequal/persistence';
import { createMetrics } from '@prequal/service';
import { quiet, type TestDatabase, test } from '@prequal/testing';
import { expect, vi } from 'vitest';
import { startErasingCopies } from './erase-copies.ts';

async function erased(database: TestDatabase): Promise<string> {
  const id = randomUUID();
  await sql`
    with stored as (
      insert into applications (id, pan_ciphertext, pan_index, pan_masked, monthly_income_inr, loan_amount_inr, loan_type,
        status, version, correlation_id, synthetic)
      values (${id}, '', '', '**********', 1, 1, 'HOME', 'REJECTED', 2, 'a-test', false) returning id)
    insert into erasures (application_id) select id from stored`.execute(database.sql());
  return id;
}

test('an erasure stays open while NATS does not answer; then copies are deleted, and looked for twice more', async ({
  database,
}) => {
  const [id, other] = [await erased(database), await erased(database)];
  const asked: string[] = [];
  let isAway = true;
  const metrics = createMetrics('test');
  const openNow = async () => (await metrics.getSingleMetric('prequal_erasures_open')?.get())?.values[0]?.value;
  await using _ = startErasingCopies({
    database,
    eraseMessages: async (applicationId) => {
      asked.push(applicationId);
      // Of one alone: it must not hold up the other one.
      if (isAway && applicationId === id) throw new Error('NATS is away');
      return 1;
    },
    isBrokerConnected: () => true,
    log: quiet,
    metrics,
  });
  const timesOf = async (applicationId: string) => {
    const { rows } = await sql<{ purges: number; minutes: number | null }>`
      select purges, round(extract(epoch from purge_at - now()) / 60)::integer as minutes
      from erasures where application_id = ${applicationId}`.execute(database.sql());
    return rows[0];
  };
  await vi.waitFor(async () => expect(await timesOf(other)).toEqual({ purges: 1, minutes: 1 }), 10_000);
  await vi.waitFor(() => expect(asked.filter((one) => one === id).length).toBeGreaterThan(1), 10_000);
  expect(await timesOf(id)).toEqual({ purges: 0, minutes: 0 });
  expect(await openNow()).toBe(1);
  isAway = false;
  await vi.waitFor(async () => expect(await timesOf(id)).toEqual({ purges: 1, minutes: 1 }), 10_000);
  expect(await openNow()).toBe(0);
  for (const expected of [
    { purges: 2, minutes: 15 },
    { purges: 3, minutes: null },
  ]) {
    await sql`update erasures set purge_at = now() where application_id = ${id}`.execute(database.sql());
    await vi.waitFor(async () => expect(await timesOf(id)).toEqual(expected), 10_000);
  }
});

test('erasures that fail again and again hold up no other one, and no transaction waits for NATS', async ({
  database,
}) => {
  const failing: string[] = [];
  while (failing.length < 20) failing.push(await erased(database));
  const asked: string[] = [];
  const withinTransactions: number[] = [];
  await using _ = startErasingCopies({
    database,
    eraseMessages: async (applicationId) => {
      asked.push(applicationId);
      const { rows } = await sql<{ count: number }>`
        select count(*)::integer as count from pg_stat_activity
        where datname = current_database() and state = 'idle in transaction'`.execute(database.sql());
      withinTransactions.push(rows[0]?.count ?? 0);
      if (failing.includes(applicationId)) throw new Error('not this one');
      return 1;
    },
    isBrokerConnected: () => true,
    log: quiet,
    metrics: createMetrics('test'),
  });
  await vi.waitFor(() => expect(asked.length).toBeGreaterThanOrEqual(20), 10_000);
  const other = await erased(database);
  await vi.waitFor(async () => {
    const { rows } = await sql`select purges from erasures where application_id = ${other}`.execute(database.sql());
    expect(rows).toEqual([{ purges: 1 }]);
  }, 10_000);
  expect(Math.max(...withinTransactions)).toBe(0);
});

test('a copy that comes while the others are being deleted keeps its erasure due', async ({ database }) => {
  const id = await erased(database);
  let asked = 0;
  await using _ = startErasingCopies({
    database,
    eraseMessages: async (applicationId) => {
      if (applicationId !== id) return 1;
      asked += 1;
      // As the consumer of dead letters does, when one is recorded meanwhile.
      if (asked === 1)
        await sql`update erasures set purge_at = now() where application_id = ${id}`.execute(database.sql());
      return 1;
    },
    isBrokerConnected: () => true,
    log: quiet,
    metrics: createMetrics('test'),
  });
  await vi.waitFor(() => expect(asked).toBe(2), 10_000);
});
