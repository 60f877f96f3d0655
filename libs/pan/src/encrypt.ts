import { createCipheriv, createDecipheriv, type KeyObject } from 'node:crypto';
import { pooledRandom } from '@prequal/service';
import { deriveKey, type KeyRing } from './keys.ts';

/**
 * A ciphertext is: format (1 byte, 1) · length of the key id (1 byte) · key id · nonce (12) · tag (16) ·
 * AES-256-GCM of the PAN. The header and the application's id are authenticated with it, so that a
 * ciphertext moved to another application does not decrypt.
 */

const format = 1;
const nonceBytes = 12;
const tagBytes = 16;
const purpose = 'pan-encryption';

/** Thrown when a ciphertext is damaged, belongs to another application, or was written with a key that is gone. */
export class PanUnreadableError extends Error {
  override readonly name = 'PanUnreadableError';
}

/** The id of the key that a ciphertext says it was written with. */
export function keyIdOf(ciphertext: Buffer): string {
  return ciphertext.subarray(2, 2 + (ciphertext[1] ?? 0)).toString();
}

/** Encrypts with the ring's current key and a random nonce: the same PAN gives another ciphertext each time. */
export function createPanEncrypter(ring: KeyRing): (pan: string, applicationId: string) => Buffer {
  const key = derivedKeys(ring).get(ring.currentId);
  if (!key) throw new Error('a key ring has a current key');
  const id = Buffer.from(ring.currentId);
  const header = Buffer.concat([Buffer.from([format, id.length]), id]);
  return (pan, applicationId) => {
    const nonce = pooledRandom(nonceBytes);
    const cipher = createCipheriv('aes-256-gcm', key, nonce);
    cipher.setAAD(Buffer.concat([header, Buffer.from(applicationId)]));
    const encrypted = Buffer.concat([cipher.update(pan, 'utf8'), cipher.final()]);
    return Buffer.concat([header, nonce, cipher.getAuthTag(), encrypted]);
  };
}

/** Decrypts what any key of the ring has written. Throws `PanUnreadableError`. */
export function createPanDecrypter(ring: KeyRing): (ciphertext: Buffer, applicationId: string) => string {
  const keys = derivedKeys(ring);
  return (ciphertext, applicationId) => {
    const nonceStart = 2 + (ciphertext[1] ?? 0);
    const header = ciphertext.subarray(0, nonceStart);
    const key = keys.get(keyIdOf(ciphertext));
    const bodyStart = nonceStart + nonceBytes + tagBytes;
    if (ciphertext[0] !== format || !key || ciphertext.length < bodyStart) {
      throw new PanUnreadableError('the ciphertext is damaged or its key is not in PAN_ENCRYPTION_KEYS');
    }
    const decipher = createDecipheriv('aes-256-gcm', key, ciphertext.subarray(nonceStart, nonceStart + nonceBytes));
    decipher.setAAD(Buffer.concat([header, Buffer.from(applicationId)]));
    decipher.setAuthTag(ciphertext.subarray(nonceStart + nonceBytes, bodyStart));
    try {
      return Buffer.concat([decipher.update(ciphertext.subarray(bodyStart)), decipher.final()]).toString('utf8');
    } catch {
      throw new PanUnreadableError('the ciphertext is damaged or belongs to another application');
    }
  };
}

function derivedKeys(ring: KeyRing): Map<string, KeyObject> {
  return new Map([...ring.keys].map(([id, master]) => [id, deriveKey(master, purpose)]));
}
