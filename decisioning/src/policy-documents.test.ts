import { policyHash } from '@prequal/policy';
import { test } from '@prequal/testing';
import { expect } from 'vitest';
import { seed, stored } from './deciding.fixture.ts';
import { createDocuments } from './policy-documents.ts';

test('a document that could not be read is read again, and then kept', async ({ database }) => {
  const read = createDocuments(database);
  const document = seed.replace('"value": "650"', '"value": "651"');
  const name = { version: 'late-1', hash: policyHash(document) };
  await expect(read(name)).rejects.toThrow('policy late-1 is not stored');
  await stored(database, 'late-1', document);
  expect(await read(name)).toEqual({ hash: name.hash, document });
  expect(read(name)).toBe(read(name));
});

test('a version whose document is not the one that was chosen is refused', async ({ database }) => {
  const read = createDocuments(database);
  await expect(read({ version: 'seed-1', hash: 'f'.repeat(64) })).rejects.toThrow('does not have its hash');
});
