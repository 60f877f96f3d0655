import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createPanDecrypter, createPanEncrypter, PanUnreadableError } from './encrypt.ts';
import type { KeyRing } from './keys.ts';

const master = randomBytes(32);
const applicationId = '019a0000-0000-7000-8000-000000000001';
const pan = fc.stringMatching(/^[A-Z]{5}[0-9]{4}[A-Z]$/);

function ringOf(...entries: [string, Buffer][]): KeyRing {
  return { currentId: entries[0]?.[0] ?? '', keys: new Map(entries) };
}

const ring = ringOf(['k-1', master]);
const encrypt = createPanEncrypter(ring);
const decrypt = createPanDecrypter(ring);

test('a PAN is read back as it was written', () => {
  fc.assert(
    fc.property(pan, fc.uuid({ version: 7 }), (number, id) => {
      expect(decrypt(encrypt(number, id), id)).toBe(number);
    }),
  );
});

test('the ciphertext shows neither the PAN nor that two are equal', () => {
  fc.assert(
    fc.property(pan, (number) => {
      const one = encrypt(number, applicationId);
      const other = encrypt(number, applicationId);
      expect(one.equals(other)).toBe(false);
      expect(one.includes(number)).toBe(false);
      // The same header, then nothing in common but by chance: nonce and body differ.
      expect(one.subarray(0, 5)).toEqual(other.subarray(0, 5));
      expect(one.subarray(5, 17).equals(other.subarray(5, 17))).toBe(false);
      expect(one.subarray(-10).equals(other.subarray(-10))).toBe(false);
    }),
  );
});

test('a ciphertext moved to another application is refused', () => {
  fc.assert(
    fc.property(pan, fc.uuid(), fc.uuid(), (number, id, otherId) => {
      fc.pre(id !== otherId);
      expect(() => decrypt(encrypt(number, id), otherId)).toThrow(PanUnreadableError);
    }),
  );
});

test('each flipped bit is refused', () => {
  const ciphertext = encrypt('ABCDE1234F', applicationId);
  const accepted: number[] = [];
  for (let bit = 0; bit < ciphertext.length * 8; bit++) {
    const damaged = Buffer.from(ciphertext);
    damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    try {
      decrypt(damaged, applicationId);
      accepted.push(bit);
    } catch (error) {
      expect(error).toBeInstanceOf(PanUnreadableError);
    }
  }
  expect(accepted).toEqual([]);
  expect(decrypt(ciphertext, applicationId)).toBe('ABCDE1234F');
});

test('a ciphertext cut short or made longer is refused', () => {
  const ciphertext = encrypt('ABCDE1234F', applicationId);
  for (let length = 0; length < ciphertext.length; length++) {
    expect(() => decrypt(ciphertext.subarray(0, length), applicationId)).toThrow(PanUnreadableError);
  }
  expect(() => decrypt(Buffer.concat([ciphertext, Buffer.from([0])]), applicationId)).toThrow(PanUnreadableError);
});

test('bytes that are no ciphertext are refused and never crash', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      expect(() => decrypt(Buffer.from(bytes), applicationId)).toThrow(PanUnreadableError);
    }),
  );
});

test('a refusal names neither the PAN nor the ciphertext', () => {
  const ciphertext = encrypt('ABCDE1234F', applicationId);
  expect(() => decrypt(ciphertext, 'another')).toThrow(/^the ciphertext is damaged or belongs to another application$/);
  const gone = createPanDecrypter(ringOf(['other', master]));
  expect(() => gone(ciphertext, applicationId)).toThrow(
    /^the ciphertext is damaged or its key is not in PAN_ENCRYPTION_KEYS$/,
  );
});

describe('keys can be exchanged', () => {
  const next = randomBytes(32);
  const written = encrypt('ABCDE1234F', applicationId);

  test('the first key writes, and all of them read', () => {
    const rotated = ringOf(['k-2', next], ['k-1', master]);
    expect(createPanDecrypter(rotated)(written, applicationId)).toBe('ABCDE1234F');

    const writtenLater = createPanEncrypter(rotated)('ABCDE1234F', applicationId);
    expect(createPanDecrypter(ringOf(['k-2', next]))(writtenLater, applicationId)).toBe('ABCDE1234F');
    expect(() => decrypt(writtenLater, applicationId)).toThrow(PanUnreadableError);
  });

  test('what a removed key has written is refused', () => {
    expect(() => createPanDecrypter(ringOf(['k-2', next]))(written, applicationId)).toThrow(PanUnreadableError);
  });

  test('another key under the same id is refused', () => {
    expect(() => createPanDecrypter(ringOf(['k-1', next]))(written, applicationId)).toThrow(PanUnreadableError);
  });

  test('the same key under another id is refused: the id is authenticated', () => {
    const renamed = Buffer.from(written);
    renamed.write('k-2', 2);
    expect(() => createPanDecrypter(ringOf(['k-2', master]))(renamed, applicationId)).toThrow(PanUnreadableError);
  });

  test('a ring without its current key does not encrypt', () => {
    expect(() => createPanEncrypter({ currentId: 'k-9', keys: ring.keys })).toThrow('a key ring has a current key');
  });
});
