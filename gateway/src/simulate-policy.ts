import type { KeyedDigests } from '@prequal/pan';
import { type Database, sql } from '@prequal/persistence';
import { type PolicyInput, policyInputOf, replayPolicy } from '@prequal/policy';
import type { BureauReport, DecisionOutcome, PolicySimulation } from '@prequal/schema';
import type { ApplicationFilter } from '@prequal/schema/graphql';
import { OverloadedError } from '@prequal/service';
import type { Place } from './cursor.ts';
import { allOf, conditionsOf, isBeyond, sourceOf, statusesOf } from './list-applications.ts';

export type SimulatePolicy = (request: {
  document: string;
  filter: ApplicationFilter;
  limit: number;
}) => Promise<PolicySimulation>;

export type SimulateDeps = { database: Database; indexPan: (pan: string) => KeyedDigests };

/** of the whole, with what follows */
const limitMs = 9_500;
/** When it is not all read by then, the database has too much to do. */
const readLimitMs = 4_000;
/** read at once, so that others have their turn between */
const pageSize = 1_000;

/**
 * Gives the stored figures and bureau reports of past applications, newest first, to another policy, and compares
 * its outcomes with those of the policy that decided on each. The gateway only reads; the policy is asked in a
 * process of its own. Throws `InvalidPolicyError`, and `OverloadedError` when the database is slow.
 */
export function createSimulatePolicy({ database, indexPan }: SimulateDeps): SimulatePolicy {
  async function readPast(filter: ApplicationFilter, limit: number, until: number): Promise<Past[]> {
    const conditions = [...conditionsOf(filter), ...statusesOf(filter)];
    const found: Past[] = [];
    for (let place: Place | undefined; found.length < limit; ) {
      const size = Math.min(pageSize, limit - found.length);
      const beyond = place ? [isBeyond(place, 'newest first')] : [];
      const { rows } = await sql<Past & Place>`
        select a.id, a.created_at::text as "createdAt", d.outcome, d.inputs, d.bureau_report as "bureauReport"
        from ${sourceOf(filter, indexPan)} join decisions d on d.application_id = a.id and d.decided_by = 'POLICY'
        where ${allOf([...conditions, ...beyond])}
        order by a.created_at desc, a.id desc limit ${size}`.execute(database.sql());
      if (performance.now() > until) throw new OverloadedError();
      found.push(...rows);
      place = rows.at(-1);
      if (rows.length < size) break;
    }
    return found;
  }

  return async ({ document, filter, limit }) => {
    const startedAt = performance.now();
    const past = (await readPast(filter, limit, startedAt + readLimitMs)).flatMap(({ outcome, ...evidence }) => {
      const input = policyInputOf(evidence);
      return input ? [{ outcome, input }] : [];
    });
    const inputs = past.map(({ input }): PolicyInput => input);
    const outcomes = await replayPolicy({ document, inputs }, Math.round(startedAt + limitMs - performance.now()));
    const counts = new Map<string, PolicySimulation['transitions'][number]>();
    past.forEach(({ outcome: from }, index) => {
      const to = outcomes[index];
      if (to === undefined || to === from) return;
      const key = `${from} ${to}`;
      counts.set(key, { from, to, count: (counts.get(key)?.count ?? 0) + 1 });
    });
    const transitions = [...counts.values()].toSorted((a, b) => b.count - a.count);
    const changed = transitions.reduce((sum, { count }) => sum + count, 0);
    return { evaluated: outcomes.length, changed, transitions };
  };
}

type Past = { outcome: DecisionOutcome; inputs: Record<string, string>; bureauReport: BureauReport | null };
