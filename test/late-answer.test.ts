import { inTransaction, isDatabaseAway, openDatabase, sql } from '@prequal/persistence';
import { test } from '@prequal/testing';
import { expect } from 'vitest';
import { createLink } from './chaos/tcp-proxy.ts';

/** How many keys of this caller others see. */
const seen = (caller: string) => sql<{ count: number }>`
  select count(*)::integer as count from idempotency_keys where caller = ${caller}`;

const stored = (caller: string) => sql`
  insert into idempotency_keys (caller, key_digest, application_id, fingerprint)
  values (${caller}, gen_random_uuid()::text::bytea, gen_random_uuid(), '')`;

test.for(['begin', 'a statement', 'commit'] as const)(
  'what is stored after the answer to %s came too late is really stored',
  async (late, { database }) => {
    const to = Number(new URL(database.url).port);
    await using link = await createLink({ name: 'late', port: 0, to });
    const url = new URL(database.url);
    url.port = String(link.port);
    await using through = await openDatabase({
      databaseUrl: url.href,
      poolMax: 1,
      applicationName: 'late',
      statementTimeoutMs: 200,
    });
    await seen('').execute(through.sql());
    if (late === 'begin') link.hold(true);
    const failed = inTransaction(through, async (within) => {
      if (late === 'a statement') link.hold(true);
      await seen('').execute(within.sql());
      if (late === 'commit') link.hold(true);
    });
    // A rollback that cannot be sent any more says so in the place of what had failed.
    await expect(failed).rejects.toSatisfy(isDatabaseAway);
    link.hold(false);
    const caller = `after ${late}`;
    await stored(caller).execute(through.sql());
    const { rows } = await seen(caller).execute(database.sql());
    expect(rows).toEqual([{ count: 1 }]);
  },
);
