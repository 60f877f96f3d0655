import { createHash, createHmac, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { deriveKey, type KeyRing } from './keys.ts';
import { createKeyedDigest, maskPan } from './lookup.ts';

const master = randomBytes(32);
const ringOf = (key: Buffer): KeyRing => ({ currentId: 'k-1', keys: new Map([['k-1', key]]) });
const digest = (key: Buffer, purpose: Parameters<typeof createKeyedDigest>[1]) => {
  const digests = createKeyedDigest(ringOf(key), purpose);
  return (text: string) => digests(text).current;
};
const index = digest(master, 'pan-index');
const pan = fc.stringMatching(/^[A-Z]{5}[0-9]{4}[A-Z]$/);

test('the same PAN has the same index, in every process with the key; another PAN has another', () => {
  const elsewhere = digest(Buffer.from(master), 'pan-index');
  fc.assert(
    fc.property(pan, pan, (one, other) => {
      expect(index(one)).toHaveLength(32);
      expect(elsewhere(one)).toEqual(index(one));
      expect(index(one).equals(index(other))).toBe(one === other);
    }),
  );
});

test('without the key the index cannot be found by trying PANs', () => {
  const otherKey = digest(randomBytes(32), 'pan-index');
  fc.assert(
    fc.property(pan, (number) => {
      expect(otherKey(number).equals(index(number))).toBe(false);
      expect(createHash('sha256').update(number).digest().equals(index(number))).toBe(false);
      // Not the master key either: it is never used itself.
      expect(createHmac('sha256', master).update(number).digest().equals(index(number))).toBe(false);
    }),
  );
});

test('a digest for one purpose says nothing about another', () => {
  const fingerprint = digest(master, 'idempotency-fingerprint');
  fc.assert(
    fc.property(pan, (number) => {
      expect(fingerprint(number).equals(index(number))).toBe(false);
    }),
  );
});

test('a key for a purpose is HKDF-SHA-256 of the master key: written down, since stored digests depend on it', () => {
  expect(deriveKey(Buffer.alloc(32, 7), 'pan-index').export().toString('hex')).toBe(
    '668db2e7dc60fb9137f0332cd33be0849c27adae3cd24138381ff6a06d0e44f7',
  );
  expect(digest(Buffer.alloc(32, 7), 'pan-index')('ABCDE1234F').toString('hex')).toBe(
    '4795ef89eb0c715285032e02b973956f660a0da256ffa4da41e081c8e329195b',
  );
});

test('the current key of a ring makes the digest', () => {
  const next = randomBytes(32);
  const keys = new Map([
    ['k-1', master],
    ['k-2', next],
  ]);
  const [before, after] = [index('ABCDE1234F'), digest(next, 'pan-index')('ABCDE1234F')];
  const rotated = (currentId: string) => createKeyedDigest({ currentId, keys }, 'pan-index')('ABCDE1234F');
  expect(rotated('k-1')).toEqual({ current: before, all: [before, after] });
  // After a rotation what was stored before is still found.
  expect(rotated('k-2')).toEqual({ current: after, all: [after, before] });
});

test('a ring without its current key makes no digest', () => {
  expect(() => createKeyedDigest({ currentId: 'gone', keys: new Map() }, 'pan-index')).toThrow(
    'a key ring has a current key',
  );
});

test('a PAN is shown without three of its four digits', () => {
  expect(maskPan('ABCDE1234F')).toBe('ABCDE***4F');
  fc.assert(
    fc.property(pan, (number) => {
      const mask = maskPan(number);
      expect(mask).toMatch(/^[A-Z]{5}\*{3}[0-9][A-Z]$/);
      expect(mask).toBe(number.replace(/\d{3}/, '***'));
    }),
  );
});
