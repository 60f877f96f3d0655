import { createHmac } from 'node:crypto';
import { deriveKey, type KeyRing } from './keys.ts';

/**
 * A keyed digest (HMAC-SHA-256, 32 bytes) for one purpose. There are only about 10^11 PANs, so a digest
 * without a key could be undone by trying them all.
 */
export function createKeyedDigest(
  ring: KeyRing,
  purpose: 'pan-index' | 'idempotency-fingerprint',
): (text: string) => Buffer {
  const master = ring.keys.get(ring.currentId);
  if (!master) throw new Error('a key ring has a current key');
  const key = deriveKey(master, purpose);
  return (text) => createHmac('sha256', key).update(text, 'utf8').digest();
}

/** What may be shown of a PAN: `ABCDE***4F` for `ABCDE1234F`. */
export function maskPan(pan: string): string {
  return `${pan.slice(0, 5)}***${pan.slice(-2)}`;
}
