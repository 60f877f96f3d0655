import { openEvaluator } from '@prequal/policy';
import { canonical, type Evidence, sha256 } from '@prequal/schema';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { printEvidence, verifyEvidenceFile } from './evidence-file.ts';
import { recomputing } from './recompute.ts';
import { story } from './story.fixture.ts';

const evaluator = openEvaluator(recomputing);
afterAll(() => evaluator[Symbol.asyncDispose]());

const exportedAt = new Date('2026-11-27T10:00:00.000Z');
const bytesOf = (evidence: Evidence) => Buffer.from(printEvidence(evidence, exportedAt));

/** Every place in it that holds no list and no object, as a path. */
function leavesOf(value: unknown, path: (string | number)[] = []): (string | number)[][] {
  if (typeof value !== 'object' || value === null) return [path];
  return Object.entries(value).flatMap(([key, inner]) => leavesOf(inner, [...path, key]));
}

/** Another value of the same kind in that place. */
function changeAt(value: never, [key = '', ...rest]: (string | number)[]): void {
  if (rest.length > 0) return changeAt(value[key], rest);
  const old = value[key] as unknown;
  if (typeof old === 'number') Object.assign(value, { [key]: old === 700 ? 701 : old + 1 });
  else if (typeof old === 'boolean') Object.assign(value, { [key]: !old });
  else if (old === null)
    Object.assign(value, { [key]: key === 'bureauReport' ? { result: 'NO_HISTORY', bureau: 'x' } : 'a' });
  // The first character that stays of its kind: digits among digits, so that an instant stays one.
  else
    Object.assign(value, {
      [key]: (old as string).replace(/[0-8a-eA-Y]/, (one) => String.fromCharCode(one.charCodeAt(0) + 1)),
    });
}

test('what was exported is intact, and says what could not be recomputed', async () => {
  const { intact, findings } = await verifyEvidenceFile(bytesOf(await story()), evaluator);
  expect(findings).toEqual([expect.stringContaining('by the system'), expect.stringContaining('by underwriter:asha')]);
  expect(intact).toBe(true);
});

test('a byte changed anywhere is found', async () => {
  const bytes = bytesOf(await story());
  const everywhere = fc.record({ place: fc.nat(bytes.length - 1), change: fc.integer({ min: 1, max: 255 }) });
  await fc.assert(
    fc.asyncProperty(everywhere, async ({ place, change }) => {
      const changed = Buffer.from(bytes);
      changed[place] = (changed[place] ?? 0) ^ change;
      const { intact, findings } = await verifyEvidenceFile(changed, evaluator);
      expect(intact).toBe(false);
      expect(findings).not.toEqual([]);
    }),
    { numRuns: 1_000 },
  );
});

test('a byte removed, added or put at the end is found', async () => {
  const bytes = bytesOf(await story());
  for (const changed of [
    bytes.subarray(0, -1),
    bytes.subarray(1),
    Buffer.concat([bytes, Buffer.from(' ')]),
    Buffer.concat([Buffer.from('\ufeff'), bytes]),
    Buffer.alloc(0),
  ]) {
    expect(await verifyEvidenceFile(changed, evaluator)).toMatchObject({ intact: false });
  }
});

test('whoever changes a value and makes the digest anew is found all the same', async () => {
  const evidence = await story();
  for (const path of leavesOf(evidence)) {
    const forged = structuredClone(evidence);
    changeAt(forged as never, path);
    expect(canonical(forged), path.join('.')).not.toBe(canonical(evidence));
    const verification = await verifyEvidenceFile(bytesOf(forged), evaluator);
    expect(verification.intact, path.join('.')).toBe(false);
    expect(verification.findings.join(), path.join('.')).not.toContain('digest');
  }
});

test('the digest is that of the content in canonical form', async () => {
  const { digest, ...content } = JSON.parse(printEvidence(await story(), exportedAt)) as { digest: string };
  expect(digest).toBe(sha256(canonical(content)));
});
