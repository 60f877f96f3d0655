import { type Database, sql } from '@prequal/persistence';
import {
  type EvaluatorOptions,
  openEvaluator,
  PolicyFaultError,
  type PolicyInput,
  type Verdict,
} from '@prequal/policy';
import type { PolicyName, ReadDocument } from './policy-documents.ts';

/** Which policies there are in the moment that applications are read: one that decides, and perhaps one beside it. */
export type ChosenPolicies = { ACTIVE: PolicyName; SHADOW?: PolicyName };

export type Policies = AsyncDisposable & {
  /** Throws `PolicyFaultError` when the document gives no verdict. */
  decide: (policy: PolicyName, input: PolicyInput) => Promise<Verdict>;
  /** Waits no longer for what the policy does not answer soon: a stop is under way. */
  stopWaiting: () => void;
  /** Starts what evaluates it, so that the first decisions need not wait. Throws when the policy cannot be read. */
  warmUp: (policy: PolicyName) => Promise<void>;
};

/** What a policy takes longer for is asked by itself, and nobody waits for it. */
const limits = { limitMs: 250, aloneMs: 1_000, maxItems: 256 } satisfies EvaluatorOptions;

/**
 * Evaluates the policy that decides, in a process of its own. Which one that is is not remembered here. It is read
 * together with the applications (`chosenPolicies`), in the same moment: so a change takes effect with the next batch
 * of every worker, and each decision is made by one version.
 */
export function createPolicies(read: ReadDocument): Policies {
  const evaluator = openEvaluator(limits);
  return {
    // Whatever it says: now it is there.
    warmUp: async (name) => void (await evaluator.evaluate(await read(name), nobody).catch(() => undefined)),
    decide: async (name, input) => {
      try {
        return await evaluator.evaluate(await read(name), input);
      } catch (error) {
        if (!(error instanceof PolicyFaultError)) throw error;
        // Its message may quote what the document made of somebody's figures, and this one goes to the log.
        throw new PolicyFaultError(error.kind, `policy ${name.version} gives no verdict: ${error.kind}`);
      }
    },
    stopWaiting: evaluator.stopWaiting,
    [Symbol.asyncDispose]: () => evaluator[Symbol.asyncDispose](),
  };
}

/** An application that nobody submitted. */
export const nobody: PolicyInput = { score: null, monthlyIncomePaise: 1, loanAmountPaise: 1, loanType: 'PERSONAL' };

/** `ChosenPolicies`, for a query to read along. */
export function chosenPolicies() {
  return sql<ChosenPolicies>`(
    select jsonb_object_agg(mode, jsonb_build_object('version', p.version, 'hash', p.hash)) from policies p
    where mode in ('ACTIVE', 'SHADOW'))`;
}

/** Starts what evaluates the policies of this moment. Throws when they cannot be read. */
export async function warmUp(
  database: Database,
  { policies, shadow }: { policies: Pick<Policies, 'warmUp'>; shadow: Pick<Policies, 'warmUp'> },
): Promise<void> {
  const { rows } = await sql<{ chosen: Partial<ChosenPolicies> | null }>`
    select ${chosenPolicies()} as chosen`.execute(database.sql());
  const { ACTIVE, SHADOW } = rows[0]?.chosen ?? {};
  await Promise.all([ACTIVE && policies.warmUp(ACTIVE), SHADOW && shadow.warmUp(SHADOW)]);
}
