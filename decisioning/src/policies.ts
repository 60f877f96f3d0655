import { type Database, type ShadowVerdict, sql } from '@prequal/persistence';
import { type LoadedPolicy, loadPolicy, type PolicyInput, type Verdict } from '@prequal/policy';

/** A stored version, as a decision names it. */
type PolicyName = { version: string; hash: string };

/** Which policies there are in the moment that applications are read: one that decides, and perhaps one beside it. */
export type ChosenPolicies = { ACTIVE: PolicyName; SHADOW?: PolicyName };

export type Policies = {
  /** Throws `PolicyFaultError` when the document gives no verdict. */
  decide: (policy: PolicyName, input: PolicyInput) => Promise<Verdict>;
  /** What the shadow policy says, or why it does not; never throws, and never takes long. */
  shadow: (policy: PolicyName, input: PolicyInput) => Promise<ShadowVerdict>;
  /** Reads the policies of this moment, so that the first decisions need not wait for them. */
  warmUp: () => Promise<void>;
};

/** a verdict takes about a fifth of a millisecond */
const shadowLimitMs = 50;

/**
 * The policies that are stored, by their hash: a document never changes, so each is read once. Which of them decides
 * is not remembered here. It is read together with the applications (`chosenPolicies`), in the same moment: so a change
 * takes effect with the next batch of every worker, and each decision is made by one version.
 */
export function createPolicies(database: Database): Policies {
  const loaded = new Map<string, Promise<LoadedPolicy>>();

  async function load({ version, hash }: PolicyName): Promise<LoadedPolicy> {
    const { rows } = await sql<{ document: string }>`
      select document from policies where version = ${version}`.execute(database.sql());
    const policy = loadPolicy(rows[0]?.document ?? '');
    if (policy.hash !== hash) throw new Error(`the document of policy ${version} does not have its hash`);
    return policy;
  }

  function known(name: PolicyName): Promise<LoadedPolicy> {
    const before = loaded.get(name.hash);
    if (before) return before;
    const policy = load(name);
    loaded.set(name.hash, policy);
    // What could not be read now may be there the next time.
    policy.catch(() => loaded.delete(name.hash));
    return policy;
  }

  return {
    warmUp: async () => {
      const { rows } = await sql<{ policies: ChosenPolicies }>`select ${chosenPolicies()} as policies`.execute(
        database.sql(),
      );
      await Promise.all(Object.values(rows[0]?.policies ?? {}).map(known));
    },
    decide: async (name, input) => (await known(name)).evaluate(input),
    shadow: async ({ version, hash }, input) => {
      const late = Promise.withResolvers<never>();
      const timer = setTimeout(() => late.reject(new Error(`no verdict within ${shadowLimitMs} ms`)), shadowLimitMs);
      try {
        const verdict = known({ version, hash }).then((policy) => policy.evaluate(input));
        return { version, hash, ...(await Promise.race([verdict, late.promise])) };
      } catch (error) {
        return { version, hash, error: error instanceof Error ? error.message : 'a value that is no Error was thrown' };
      } finally {
        clearTimeout(timer);
      }
    },
  };
}

/** `ChosenPolicies`, for a query to read along. */
export function chosenPolicies() {
  return sql<ChosenPolicies>`(
    select jsonb_object_agg(mode, jsonb_build_object('version', p.version, 'hash', p.hash)) from policies p
    where mode in ('ACTIVE', 'SHADOW'))`;
}
