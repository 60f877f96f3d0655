import { Pool, type PoolClient } from 'pg';

/** One transaction for one piece of work, with statements that are prepared once a session. */
export type Store = AsyncDisposable & {
  pool: Pool;
  inTransaction: (work: (client: PoolClient) => Promise<void>) => Promise<void>;
};

/** Opens the pool; makes the tables when they are missing. */
export async function openStore(env: NodeJS.ProcessEnv): Promise<Store> {
  const pool = new Pool({ connectionString: env['DATABASE_URL'], max: 10 });
  await pool.query(`
    select pg_advisory_xact_lock(1);
    create schema if not exists straightforward;
    create table if not exists straightforward.applications (
      id uuid primary key, pan_ciphertext bytea not null, pan_masked text not null, monthly_income_inr numeric(12,2) not null,
      loan_amount_inr numeric(12,2) not null, loan_type text not null, status text not null, cibil_score integer,
      version integer not null, created_at timestamptz not null default now());
    create index if not exists applications_status on straightforward.applications (status, created_at);
    create table if not exists straightforward.events (
      id uuid primary key, application_id uuid not null references straightforward.applications (id), version integer not null,
      status text not null, occurred_at timestamptz not null default now(), unique (application_id, version));`);
  return {
    pool,
    inTransaction: async (work) => {
      const client = await pool.connect();
      try {
        await client.query('begin');
        await work(client);
        await client.query('commit');
      } catch (error) {
        await client.query('rollback');
        throw error;
      } finally {
        client.release();
      }
    },
    [Symbol.asyncDispose]: () => pool.end(),
  };
}

/** The row of the history for one change of status. */
export async function storeEvent(client: PoolClient, id: string, version: number, status: string): Promise<void> {
  await client.query({
    name: 'event',
    text: `insert into straightforward.events (id, application_id, version, status) values (gen_random_uuid(), $1, $2, $3)`,
    values: [id, version, status],
  });
}
