import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { printEvidence, recomputing, type Verification, verifyEvidence, verifyEvidenceFile } from '@prequal/evidence';
import { type Database, readEvidence } from '@prequal/persistence';
import { openEvaluator } from '@prequal/policy';
import type { Evidence } from '@prequal/schema';
import { UsageError } from './usage-error.ts';

export const auditUsage = `Evidence of one application's decisions, for auditors.

  npm run audit -- APPLICATION-ID [--out FILE]     writes evidence-APPLICATION-ID.json, or FILE
  npm run audit -- --verify FILE                   checks such a file, without database or network

A file holds the history, the decisions with inputs, bureau report and policy documents, and neither PAN nor name. It
is never written over another one. --verify exits with 0 when it is intact and with 1 when it is not.`;

export type AuditDeps = {
  /** asked for an export alone */
  openDatabase: () => Promise<Database>;
  /** relative names of files are meant from here */
  folder: string;
  say: (line: string) => void;
  now: () => Date;
};

/** Runs the command. Answers whether it worked, and for `--verify` whether the file is intact. Throws `UsageError`. */
export async function audit(deps: AuditDeps, args: string[]): Promise<boolean> {
  const { values, positionals } = parse(args);
  const [id, ...others] = positionals;
  if ((id === undefined) === (values.verify === undefined) || others.length > 0) {
    throw new UsageError('Name one application by its id, or a file with --verify.');
  }
  if (values.verify !== undefined) return verifyFile(deps, values.verify);
  const applicationId = id?.toLowerCase() ?? '';
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(applicationId)) {
    throw new UsageError('An application is named by its id, a UUID.');
  }
  return exportTo(deps, applicationId, path.resolve(deps.folder, values.out ?? `evidence-${applicationId}.json`));
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      options: { out: { type: 'string' }, verify: { type: 'string' } },
      allowPositionals: true,
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : 'The options were not understood.');
  }
}

async function exportTo({ openDatabase, say, now }: AuditDeps, applicationId: string, file: string): Promise<boolean> {
  await using database = await openDatabase();
  const evidence = await readEvidence(database, applicationId);
  if (!evidence) {
    say('There is no application with this id.');
    return false;
  }
  await writeFile(file, printEvidence(evidence, now()), { flag: 'wx' });
  say(`Written to ${file}`);
  await using evaluator = openEvaluator(recomputing);
  tell({ ...(await verifyEvidence(evidence, evaluator)), evidence }, say);
  return true;
}

async function verifyFile({ folder, say }: AuditDeps, file: string): Promise<boolean> {
  await using evaluator = openEvaluator(recomputing);
  const verification = await verifyEvidenceFile(await readFile(path.resolve(folder, file)), evaluator);
  tell(verification, say);
  return verification.intact;
}

/** With what an auditor compares with other sources: whoever makes every hash anew cannot change those. */
function tell(
  { intact, findings, evidence }: Verification & { evidence?: Evidence },
  say: (line: string) => void,
): void {
  say(intact ? 'Intact.' : 'NOT intact:');
  for (const finding of findings) say(`- ${finding}`);
  if (!evidence) return;
  const { id, status, version, eventHash } = evidence.application;
  say(`Application ${id}: ${status}, version ${version}, newest event ${eventHash}`);
  for (const policy of evidence.policies) say(`Policy ${policy.version}: ${policy.hash}`);
}
