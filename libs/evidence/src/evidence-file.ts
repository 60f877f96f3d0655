import type { Evaluator } from '@prequal/policy';
import { canonical, type Evidence, evidence, sha256 } from '@prequal/schema';
import { z } from 'zod';
import { type Verification, verifyEvidence } from './verify-evidence.ts';

const content = z.strictObject({
  format: z.literal('prequal-evidence-1'),
  exportedAt: z.iso.datetime({ precision: 3 }),
  ...evidence.shape,
});
const file = z.strictObject({
  ...content.shape,
  /** SHA-256 of all that is beside it, in canonical form */
  digest: z.string(),
});

/** One application's evidence as the text of a file that says of itself whether it was changed. */
export function printEvidence(found: Evidence, exportedAt: Date): string {
  const all = { format: 'prequal-evidence-1', exportedAt: exportedAt.toISOString(), ...found };
  return print({ ...all, digest: sha256(canonical(all)) });
}

/** Checks a file that `printEvidence` wrote, to the last byte, and then the evidence in it, which it answers as well. */
export async function verifyEvidenceFile(
  bytes: Uint8Array,
  evaluator: Pick<Evaluator, 'evaluate'>,
): Promise<Verification & { evidence?: Evidence }> {
  const text = textOf(bytes);
  const parsed = text === undefined ? undefined : file.safeParse(jsonOf(text));
  if (text === undefined || parsed?.success !== true) {
    const where = parsed?.error?.issues[0]?.path.join('.') || 'the whole';
    return {
      intact: false,
      findings: [`The file is not evidence as it is exported, or it was changed: see ${where}.`],
    };
  }
  const { digest, ...rest } = parsed.data;
  const { format: _, exportedAt: __, ...found } = rest;
  const { intact, findings } = await verifyEvidence(found, evaluator);
  const changed = [
    ...(print(parsed.data) === text ? [] : ['The file was changed: it is not written as it was exported.']),
    ...(sha256(canonical(rest)) === digest ? [] : ['The file was changed: its content does not give its digest.']),
  ];
  return { intact: intact && changed.length === 0, findings: [...changed, ...findings], evidence: found };
}

/** Readable for people, and always the same for the same content. */
function print(value: object): string {
  return `${JSON.stringify(JSON.parse(canonical(value)), undefined, 2)}\n`;
}

function textOf(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
