import { createHash } from 'node:crypto';
import canonicalize from 'canonicalize';

/**
 * SHA-256 (hex) of the document in the canonical form of RFC 8785: white space and the order of keys do not change
 * it, anything else does. Throws `SyntaxError` when the document is not JSON.
 */
export function policyHash(document: string): string {
  return createHash('sha256')
    .update(canonicalize(JSON.parse(document)) ?? '')
    .digest('hex');
}
