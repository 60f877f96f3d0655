import { createHash } from 'node:crypto';
import { policy } from './decide.ts';

export const policyVersion = policy.version;

/** SHA-256 (hex) of the policy's figures: two decisions with the same hash were made by the same rules. */
export const policyHash = createHash('sha256').update(JSON.stringify(policy)).digest('hex');
