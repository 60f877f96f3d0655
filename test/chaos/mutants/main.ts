import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import type { Result } from '../chaos.ts';
import { copyTree, plant } from './copy.ts';
import { mutants, type Setting } from './mutants.ts';

/**
 * Plants each mutant into a copy of the sources and runs the harness there: it must find something broken. Then
 * runs the unchanged code with the very same settings: there it must find nothing.
 */
const { values } = parseArgs({ options: { only: { type: 'string' }, help: { type: 'boolean', default: false } } });
if (values.help) {
  console.log('npm run chaos:mutants -- [--only TEXT,…]   only the mutants whose names contain one of these texts');
  process.exit(0);
}
const root = path.resolve(import.meta.dirname, '../../..');
const chosen = mutants.filter(({ name }) => (values.only ?? '').split(',').some((part) => name.includes(part)));
await using tree = await copyTree(root);
// Before anything runs: a mutant that does not fit the code any more is found at once.
for (const mutant of mutants) await (await plant(tree.folder, mutant))[Symbol.asyncDispose]();

async function runHarness({
  faults,
  seconds,
  rate,
  seed,
  env,
}: Setting): Promise<{ broken: string[]; folder: string }> {
  const options = { faults, duration: seconds, round: seconds, rate, seed, bound: 20 };
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const child = spawn(process.execPath, [path.join(tree.folder, 'test/chaos/main.ts'), ...args, '--json'], {
    cwd: tree.folder,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [output, story] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  if (output === '') return { broken: [`the harness itself failed: ${story.trim().split('\n').at(-1)}`], folder: '' };
  const { violations, folder } = JSON.parse(output) as Result;
  const counts = Map.groupBy(violations, ({ invariant }) => invariant);
  return { broken: [...counts].map(([invariant, all]) => `${invariant} (${all.length})`), folder };
}

let failures = 0;
const report = (good: boolean, name: string, broken: string[]) => {
  if (!good) failures += 1;
  console.log(`${good ? 'as it should be' : 'NOT AS IT SHOULD BE'}  ${name}`);
  for (const line of broken.length > 0 ? broken : ['nothing broken']) console.log(`    ${line}`);
};

for (const mutant of chosen) {
  await using _planted = await plant(tree.folder, mutant);
  const { broken, folder } = await runHarness(mutant.run);
  if (folder) await rm(folder, { recursive: true, force: true });
  const caught = broken.length > 0 && !broken.some((line) => line.startsWith('the harness'));
  report(caught, mutant.name, broken);
}
const settings = new Map(chosen.map(({ run }) => [JSON.stringify(run), run]));
for (const setting of settings.values()) {
  const { broken, folder } = await runHarness(setting);
  report(
    broken.length === 0,
    `unchanged, faults ${setting.faults}${folder && broken.length > 0 ? `, see ${folder}` : ''}`,
    broken,
  );
}
console.log(failures === 0 ? `${chosen.length} mutants, all caught` : `${failures} not as they should be`);
process.exitCode = failures === 0 ? 0 : 1;
