import { loadPolicy } from './load-policy.ts';
import { type Finding, InvalidPolicyError } from './verdict.ts';

/** Everything that speaks against publishing this document; empty when nothing does. */
export async function checkPolicy(document: string): Promise<Finding[]> {
  try {
    loadPolicy(document);
    return [];
  } catch (error) {
    if (error instanceof InvalidPolicyError) return error.findings;
    throw error;
  }
}
