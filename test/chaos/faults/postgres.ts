import { openDatabase, sql } from '@prequal/persistence';
import type { System } from '../system.ts';
import type { Fault, World } from './fault.ts';

async function exclusively(world: World, work: (system: System) => Promise<void>): Promise<void> {
  using taken = world.take('postgres');
  if (taken) await work(world.system);
  else world.note('skipped');
}

async function statement({ database }: System, text: string): Promise<void> {
  await sql.raw(text).execute(database.sql());
}

const maxConnections = 200;

export const postgresFaults: Fault[] = [
  {
    name: 'postgres-immediate',
    run: (world, random) =>
      exclusively(world, ({ postgres }) => postgres.restart({ signal: 'SIGQUIT', downMs: random.int(0, 4_000) })),
  },
  {
    name: 'postgres-terminate',
    run: (world) =>
      exclusively(world, (system) =>
        statement(
          system,
          `select pg_terminate_backend(pid) from pg_stat_activity
          where application_name in ('gateway', 'decisioning')`,
        ),
      ),
  },
  {
    name: 'postgres-exhaust',
    run: (world, random) =>
      exclusively(world, async ({ postgres }) => {
        const seconds = random.int(2, 5);
        await using hog = await openDatabase({
          databaseUrl: postgres.current().url,
          poolMax: maxConnections,
          applicationName: 'hog',
          statementTimeoutMs: 20_000,
        });
        const sleep = () => sql`select pg_sleep(${seconds}::float8)`.execute(hog.sql());
        await Promise.allSettled(Array.from({ length: maxConnections }, sleep));
      }),
  },
  {
    name: 'postgres-read-only',
    run: (world, _random, lasts) =>
      exclusively(world, async (system) => {
        await statement(system, 'alter system set default_transaction_read_only = on');
        await statement(system, 'select pg_reload_conf()');
        await lasts(10_000);
        // The harness' own sessions read only as well by now; the server's settings are no table.
        await statement(system, 'alter system reset default_transaction_read_only');
        await statement(system, 'select pg_reload_conf()');
      }),
  },
];
