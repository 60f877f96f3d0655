import { canonical, sha256 } from '@prequal/schema';

/**
 * SHA-256 (hex) of the document in the canonical form of RFC 8785: white space and the order of keys do not change
 * it, anything else does. Throws `SyntaxError` when the document is not JSON.
 */
export function policyHash(document: string): string {
  return sha256(canonical(JSON.parse(document)));
}
