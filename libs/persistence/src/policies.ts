import { policyHash, shippedPolicies } from '@prequal/policy';
import { type Policy, type PolicyMode, Refusal, validationFailed } from '@prequal/schema';
import { type Database, inTransaction, sql } from './database.ts';

type Queries = Pick<Database, 'sql'>;

// Any constant will do, as long as it is nobody else's. Whoever changes which policy decides, does so alone.
const lockId = 7_737_827;

const columns = sql`version, mode, hash, document, created_at as "createdAt", created_by as "createdBy"`;

/** Every stored version, newest first. */
export async function listPolicies(database: Queries): Promise<Policy[]> {
  const { rows } = await sql<Policy>`
    select ${columns} from policies order by created_at desc, version desc`.execute(database.sql());
  return rows.map(withDate);
}

/** Throws `Refusal` NOT_FOUND. */
export async function findPolicy(database: Queries, version: string): Promise<Policy> {
  const { rows } = await sql<Policy>`select ${columns} from policies where version = ${version}`.execute(
    database.sql(),
  );
  if (!rows[0]) throw unknown();
  return withDate(rows[0]);
}

/** The stored version, undefined when there is none. Throws `Refusal` VALIDATION_FAILED when it has another document. */
export async function findSamePolicy(
  database: Queries,
  { version, hash }: Pick<Policy, 'version' | 'hash'>,
): Promise<Policy | undefined> {
  const { rows } = await sql<Policy>`select ${columns} from policies where version = ${version}`.execute(
    database.sql(),
  );
  if (!rows[0] || rows[0].hash === hash) return rows[0] && withDate(rows[0]);
  const message = 'names a stored version with another document; a version never changes, choose a new one';
  throw validationFailed([{ path: ['input', 'version'], code: 'TAKEN', message }]);
}

/**
 * Stores a version, inactive. The same document under the same version again is the stored one; another document
 * is refused. Throws `Refusal` VALIDATION_FAILED.
 */
export async function storePolicy(
  database: Database,
  { version, hash, document, by }: Pick<Policy, 'version' | 'hash' | 'document'> & { by: string },
): Promise<Policy> {
  return inTransaction(database, async (within) => {
    const { rows } = await sql<{ version: string }>`
        insert into policies (version, mode, hash, document, created_by)
        values (${version}, 'INACTIVE', ${hash}, ${document}, ${by})
        on conflict (version) do nothing returning version`.execute(within.sql());
    if (rows[0]) await recordChange(within, version, 'INACTIVE', by);
    return (await findSamePolicy(within, { version, hash })) ?? findPolicy(within, version);
  });
}

/**
 * Makes this version the one that decides, the one that is recorded beside it, or neither; whoever had that place
 * before becomes inactive in the same moment. Throws `Refusal` NOT_FOUND, and VALIDATION_FAILED where no policy would
 * be left to decide.
 */
export async function setPolicyMode(
  database: Database,
  { version, mode, by }: Pick<Policy, 'version' | 'mode'> & { by: string },
): Promise<Policy> {
  return inTransaction(database, async (within) => {
    await sql`select pg_advisory_xact_lock(${lockId})`.execute(within.sql());
    const policy = await findPolicy(within, version);
    if (policy.mode === mode) return policy;
    if (policy.mode === 'ACTIVE') {
      const message = 'would leave no policy that decides; make another version ACTIVE, and this one becomes INACTIVE';
      throw validationFailed([{ path: ['mode'], code: 'INVALID_VALUE', message }]);
    }
    if (mode !== 'INACTIVE') await makeInactive(within, mode, by);
    await sql`update policies set mode = ${mode} where version = ${version}`.execute(within.sql());
    await recordChange(within, version, mode, by);
    return { ...policy, mode };
  });
}

/** What every installation starts with; what is there already stays as people have set it. */
export async function storeShippedPolicies(database: Database): Promise<void> {
  for (const { version, mode, document } of shippedPolicies()) {
    await sql`
      with added as (
        insert into policies (version, mode, hash, document, created_by)
        select ${version}, case when exists (select from policies where mode = ${mode}) then 'INACTIVE' else ${mode} end,
          ${policyHash(document)}, ${document}, 'prequal'
        on conflict (version) do nothing returning version, mode
      )
      insert into policy_changes (version, mode, changed_by) select version, mode, 'prequal' from added`.execute(
      database.sql(),
    );
  }
}

async function makeInactive(database: Queries, mode: PolicyMode, by: string): Promise<void> {
  const { rows } = await sql<{ version: string }>`
    update policies set mode = 'INACTIVE' where mode = ${mode} returning version`.execute(database.sql());
  for (const { version } of rows) await recordChange(database, version, 'INACTIVE', by);
}

async function recordChange(database: Queries, version: string, mode: PolicyMode, by: string): Promise<void> {
  await sql`
    insert into policy_changes (version, mode, changed_by) values (${version}, ${mode}, ${by})`.execute(database.sql());
}

function unknown(): Refusal {
  return new Refusal('NOT_FOUND', 'There is no policy with this version.');
}

function withDate(row: Policy): Policy {
  return { ...row, createdAt: new Date(row.createdAt) };
}
