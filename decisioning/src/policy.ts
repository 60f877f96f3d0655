import { policyHash as hashOf, shippedPolicies } from '@prequal/policy';
import { policy } from './decide.ts';

export const policyVersion = policy.version;

/** Of the document that says the same as `decide`: with it, whoever has the document can make a decision again. */
export const policyHash = hashOf(shippedPolicies().find(({ version }) => version === policyVersion)?.document ?? '');
