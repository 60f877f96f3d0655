import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

export const root = path.resolve(import.meta.dirname, '..');

/** One line of a Dockerfile's stage, e.g. `{ word: 'COPY', flags: ['--chmod=755'], args: ['schema', 'schema'] }`. */
export type Instruction = { word: string; flags: string[]; args: string[]; text: string };

/** The stages of the Dockerfile by name. It has neither continued lines nor stages without a name. */
export async function readDockerfile(): Promise<Map<string, Instruction[]>> {
  const stages = new Map<string, Instruction[]>();
  let stage: Instruction[] = [];
  for (const line of (await readFile(path.join(root, 'Dockerfile'), 'utf8')).split('\n')) {
    if (/^\s*(#|$)/.test(line)) continue;
    const [word = '', ...rest] = line.trim().split(/\s+/);
    const flags = word === 'COPY' ? rest.filter((part) => part.startsWith('--')) : [];
    const args = rest.filter((part) => !flags.includes(part));
    if (word === 'FROM') stages.set(args[2] ?? '', (stage = []));
    stage.push({ word, flags, args, text: line.slice(word.length).trim() });
  }
  return stages;
}

/** What a stage takes from the build context: its sources, the last argument of each COPY being the target. */
export function copiedSources(stage: Instruction[]): string[] {
  return stage.filter(isCopyFromContext).flatMap(({ args }) => args.slice(0, -1));
}

function isCopyFromContext({ word, flags }: Instruction): boolean {
  return word === 'COPY' && !flags.some((flag) => flag.startsWith('--from='));
}

/** The files that .dockerignore lets through to the builder, relative to the root: the last rule that fits decides. */
export async function buildContext(): Promise<string[]> {
  const lines = (await readFile(path.join(root, '.dockerignore'), 'utf8')).split('\n');
  const rules = lines.filter((line) => line !== '' && !line.startsWith('#'));
  const isSent = (file: string) => {
    const folders = file.split('/').map((_, index, parts) => parts.slice(0, index + 1).join('/'));
    const fits = (rule: string) => folders.some((folder) => path.matchesGlob(folder, rule.replace('!', '')));
    return rules.findLast(fits)?.startsWith('!') ?? true;
  };
  return (await filesBelow('')).filter(isSent);
}

// Neither is ever sent, and both are too large to be looked through.
const skipped = new Set(['node_modules', '.git', '.data']);

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(path.join(root, folder), { withFileTypes: true });
  const found = entries.map(async (entry): Promise<string[]> => {
    if (skipped.has(entry.name)) return [];
    const file = path.posix.join(folder, entry.name);
    return entry.isDirectory() ? filesBelow(file) : [file];
  });
  return (await Promise.all(found)).flat();
}

/** The packages that the Dockerfile's `npm ci` installs, as folders below the root; links are our own packages. */
export async function installedPackages(stages: Map<string, Instruction[]>): Promise<string[]> {
  const install = stages.get('packages')?.find(({ text }) => text.startsWith('npm ci'));
  const choice =
    install?.text
      .split(' ')
      .slice(2)
      .filter((arg) => !/^--(ignore-scripts|no-)/.test(arg)) ?? [];
  const list = ['ls', '--all', '--parseable', '--package-lock-only', ...choice];
  const { stdout } = await promisify(execFile)('npm', list, { cwd: root, shell: process.platform === 'win32' });
  const folders = stdout
    .trim()
    .split('\n')
    .map((folder) => path.relative(root, folder));
  const lock = JSON.parse(await readFile(path.join(root, 'package-lock.json'), 'utf8'));
  // Of the builds of a package for each platform, npm lists all and installs the one that fits.
  const isForAnother = (folder: string) => lock.packages[folder]?.optional && !existsSync(path.join(root, folder));
  return folders.filter((folder) => folder !== '' && !isForAnother(folder));
}

/** Lays out in `target` what the image `services` has in its working folder, without a network. */
export async function layOutImage(target: string): Promise<void> {
  const stages = await readDockerfile();
  for (const folder of await installedPackages(stages)) {
    const from = path.join(root, folder);
    await cp(from, path.join(target, folder), {
      recursive: true,
      verbatimSymlinks: true,
      // A package below another one is listed by itself when it belongs into the image.
      filter: (file) => !path.relative(from, file).startsWith('node_modules'),
    });
  }
  const context = await buildContext();
  for (const { args } of ['packages', 'services'].flatMap((name) => stages.get(name) ?? []).filter(isCopyFromContext)) {
    const to = args.at(-1) ?? '';
    for (const source of args.slice(0, -1)) {
      for (const file of context.filter((sent) => sent === source || sent.startsWith(`${source}/`))) {
        // A file goes into a folder that is written with a slash; a folder becomes the target.
        const place = path.join(target, to, file === source ? path.basename(file) : path.relative(source, file));
        await mkdir(path.dirname(place), { recursive: true });
        await cp(path.join(root, file), place);
      }
    }
  }
}
