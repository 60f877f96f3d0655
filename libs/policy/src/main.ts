import { readFile } from 'node:fs/promises';
import { checkPolicy, policyHash } from './index.ts';

/** `npm run check-policy -- FILE`: says what `publishPolicy` would say about a document; ends with 1 when refused. */
const [file] = process.argv.slice(2);
const document = file === undefined ? undefined : await readFile(file, 'utf8').catch(cannotRead);
if (document === undefined) {
  console.error('Which file? npm run check-policy -- my-policy.json');
  process.exitCode = 2;
} else {
  const findings = await checkPolicy(document);
  for (const { kind, message } of findings) console.error(`${kind}: ${message}`);
  if (findings.length === 0) console.log(`Nothing speaks against it. Its hash is ${policyHash(document)}.`);
  else process.exitCode = 1;
}

function cannotRead(error: Error): undefined {
  console.error(`${file} cannot be read (${error.message}).`);
}
