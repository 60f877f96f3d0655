import { canonical, sha256 } from '@prequal/schema';
import { readJson, refuse } from './parse-document.ts';

/**
 * SHA-256 (hex) of the document in the canonical form of RFC 8785: white space and the order of keys do not change
 * it, anything else does. Throws `InvalidPolicyError` when the document is too large or not JSON.
 */
export function policyHash(document: string): string {
  const json = readJson(document);
  try {
    return sha256(canonical(json));
  } catch {
    return refuse(
      'UNREADABLE',
      'The document has no canonical form: it is nested too deeply, or holds half a character or a number beyond all bounds.',
    );
  }
}
