import { cp, lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Mutant } from './mutants.ts';

const parts = ['schema', 'libs', 'gateway', 'scoring', 'decisioning', 'test', 'package.json', 'tsconfig.json'];

/** A copy of the sources in a folder of its own, with the packages that are installed here. */
export async function copyTree(root: string): Promise<AsyncDisposable & { folder: string }> {
  const folder = await mkdtemp(path.join(tmpdir(), 'prequal-mutants-'));
  const notModules = (file: string) => path.basename(file) !== 'node_modules';
  for (const part of parts) {
    await cp(path.join(root, part), path.join(folder, part), { recursive: true, filter: notModules });
  }
  await linkModules(path.join(root, 'node_modules'), path.join(folder, 'node_modules'));
  for (const workspace of await workspacesWithModules(root)) {
    const within = path.join(workspace, 'node_modules');
    await linkModules(path.join(root, within), path.join(folder, within));
  }
  // A nats-server that was fetched once, and compiled code.
  await Promise.all([root, folder].map((place) => mkdir(path.join(place, '.data'), { recursive: true })));
  await mkdir(path.join(root, '.data/cache'), { recursive: true });
  await symlink(path.join(root, '.data/cache'), path.join(folder, '.data/cache'));
  return { folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}

/** Packages are the installed ones; those of the project itself lead, as they do here, into this very tree. */
async function linkModules(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const name of await readdir(from)) {
    const [source, target] = [path.join(from, name), path.join(to, name)];
    if (name === '@prequal') await linkModules(source, target);
    else if ((await lstat(source)).isSymbolicLink()) await symlink(await readlink(source), target);
    else await symlink(source, target);
  }
}

async function workspacesWithModules(root: string): Promise<string[]> {
  const folders = ['schema', 'gateway', 'scoring', 'decisioning'];
  for (const name of await readdir(path.join(root, 'libs'))) folders.push(path.join('libs', name));
  const found = await Promise.all(
    folders.map(async (folder) =>
      (await lstat(path.join(root, folder, 'node_modules')).catch(() => undefined)) ? [folder] : [],
    ),
  );
  return found.flat();
}

/** Plants the fault; disposing takes it out again. Throws when a text no longer stands in its file exactly once. */
export async function plant(folder: string, { name, edits }: Mutant): Promise<AsyncDisposable> {
  await using planted = new AsyncDisposableStack();
  for (const { file, from, to } of edits) {
    const place = path.join(folder, file);
    const before = await readFile(place, 'utf8');
    const times = before.split(from).length - 1;
    if (times !== 1) throw new Error(`The mutant "${name}" does not fit any more: ${file} has ${times} times\n${from}`);
    planted.defer(() => writeFile(place, before));
    await writeFile(
      place,
      before.replace(from, () => to),
    );
  }
  return planted.move();
}
