import type { DecisionOutcome, DecisionReason } from '@prequal/schema';
import { type Database, sql } from './database.ts';
import { jsonLines } from './json-lines.ts';

/** What the shadow policy says of an application that was decided on, or why it gives no verdict. */
export type ShadowVerdict = {
  applicationId: string;
  /** of the application after the decision, which is the decision's */
  version: number;
  policy: { version: string; hash: string };
} & ({ outcome: DecisionOutcome; reasons: DecisionReason[] } | { error: string });

/** Writes all of them in one round trip, or none. Each is written once, beside a decision that is there. */
export async function storeShadowVerdicts(
  database: Pick<Database, 'sql'>,
  verdicts: readonly ShadowVerdict[],
): Promise<void> {
  if (verdicts.length === 0) return;
  const column = <T>(of: (verdict: ShadowVerdict) => T): T[] => verdicts.map(of);
  await sql`
    insert into shadow_verdicts (application_id, version, policy_version, policy_hash, outcome, reasons, error)
    select application_id, version, policy_version, policy_hash, outcome, reasons::jsonb, error from unnest(
      ${column((v) => v.applicationId)}::uuid[],
      ${column((v) => v.version)}::integer[],
      ${column((v) => v.policy.version)}::text[],
      ${column((v) => v.policy.hash)}::text[],
      ${column((v) => ('error' in v ? null : v.outcome))}::text[],
      ${jsonLines(column((v) => ('error' in v ? null : JSON.stringify(v.reasons))))},
      ${column((v) => ('error' in v ? v.error : null))}::text[]
    ) as t (application_id, version, policy_version, policy_hash, outcome, reasons, error)`.execute(database.sql());
}
