import { policyHash, shippedPolicies } from '@prequal/policy';
import type { Evidence } from '@prequal/schema';

/** The evidence with those documents that come with this code and that a decision names, if they are not stored. */
export function withShippedPolicies(evidence: Evidence): Evidence {
  const shipped = shippedPolicies()
    .map(({ version, document }) => ({ version, hash: policyHash(document), document }))
    .filter(
      ({ version, hash }) =>
        evidence.decisions.some((decision) => decision.policyVersion === version && decision.policyHash === hash) &&
        !evidence.policies.some((stored) => stored.version === version && stored.hash === hash),
    );
  return { ...evidence, policies: [...evidence.policies, ...shipped] };
}
