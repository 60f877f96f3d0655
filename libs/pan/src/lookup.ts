import { createHmac } from 'node:crypto';
import { deriveKey, type KeyRing } from './keys.ts';

/** The digests of a text under each key of a ring: the current one writes, all of them may be found. */
export type KeyedDigests = { current: Buffer; all: Buffer[] };

/**
 * Keyed digests (HMAC-SHA-256, 32 bytes) for one purpose. There are only about 10^11 PANs, so a digest
 * without a key could be undone by trying them all. What was digested before a key was rotated is found
 * among `all`, as long as the old key stays in the ring.
 */
export function createKeyedDigest(
  ring: KeyRing,
  purpose: 'pan-index' | 'idempotency-fingerprint' | 'rate-limit',
): (text: string) => KeyedDigests {
  if (!ring.keys.has(ring.currentId)) throw new Error('a key ring has a current key');
  const currentFirst = [...ring.keys].toSorted(([id]) => (id === ring.currentId ? -1 : 1));
  const keys = currentFirst.map(([, master]) => deriveKey(master, purpose));
  return (text) => {
    const all = keys.map((key) => createHmac('sha256', key).update(text, 'utf8').digest());
    return { current: all[0] as Buffer, all };
  };
}

/** What may be shown of a PAN: `ABCDE***4F` for `ABCDE1234F`. */
export function maskPan(pan: string): string {
  return `${pan.slice(0, 5)}***${pan.slice(-2)}`;
}
