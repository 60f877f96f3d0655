import {
  type Database,
  findPolicy,
  findSamePolicy,
  listPolicies,
  setPolicyMode,
  storePolicy,
} from '@prequal/persistence';
import { type CheckOptions, type Finding, InvalidPolicyError, policyHash } from '@prequal/policy';
import { type Policy, type PolicyMode, type PolicySimulation, Refusal, withoutPans } from '@prequal/schema';
import type { SimulationRequest } from '@prequal/schema/graphql';
import { inBatches, type Logger } from '@prequal/service';
import type { SimulatePolicy } from './simulate-policy.ts';

export type PoliciesDeps = {
  database: Database;
  check: (document: string, options?: CheckOptions) => Promise<Finding[]>;
  simulate: SimulatePolicy;
  log: Logger;
};

export type Policies = ReturnType<typeof createPolicies>;

/** Each takes a processor for seconds. */
const limits = { maxItems: 1, maxConcurrent: 1, maxWaiting: 4, maxWaitMs: 30_000 };

/** What analysts do with the rules of lending. Each throws `Refusal`, as the port says, and `OverloadedError`. */
export function createPolicies({ database, check, simulate, log }: PoliciesDeps) {
  const checkOne = inBatches(async ([document]: readonly string[]) => [await check(document ?? '')], limits);
  const simulateOne = inBatches(
    async ([request]: readonly SimulationRequest[]) => (request ? [await simulated(request)] : []),
    limits,
  );

  async function simulated({ version, document, ...rest }: SimulationRequest): Promise<PolicySimulation> {
    const tried = version === undefined ? document : (await findPolicy(database, version)).document;
    return simulate({ ...rest, document: tried ?? '' });
  }

  return {
    list: () => listPolicies(database),
    publish: async (given: { version: string; document: string }, by: string): Promise<Policy> => {
      const hash = hashOf(given.document);
      // Before the check, which takes seconds.
      const earlier = await findSamePolicy(database, { version: given.version, hash });
      if (earlier) return earlier;
      const findings = await checkOne(given.document);
      if (findings.length > 0) throw policyInvalid(findings);
      const policy = await storePolicy(database, { ...given, hash, by });
      log.info({ policyVersion: policy.version }, 'policy published');
      return policy;
    },
    setMode: async (version: string, mode: PolicyMode, by: string): Promise<Policy> => {
      const policy = await setPolicyMode(database, { version, mode, by });
      log.info({ policyVersion: version, mode }, 'policy mode set');
      return policy;
    },
    simulate: async (request: SimulationRequest): Promise<PolicySimulation> => {
      try {
        return await simulateOne(request);
      } catch (error) {
        throw asRefusal(error);
      }
    },
  };
}

/** All of the document that is read before its turn has come. */
function hashOf(document: string): string {
  try {
    return policyHash(document);
  } catch (error) {
    throw asRefusal(error);
  }
}

function asRefusal(error: unknown): unknown {
  return error instanceof InvalidPolicyError ? policyInvalid(error.findings) : error;
}

function policyInvalid(findings: readonly Finding[]): Refusal {
  // They quote the document, which is somebody's text.
  const told = findings.map((finding) => ({ ...finding, message: withoutPans(finding.message) }));
  return new Refusal('POLICY_INVALID', told.map(({ message }) => message).join(' '), { findings: told });
}
