import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { fixtures, nameMark, panMark } from './applicants.ts';
import type { Violation } from './invariants.ts';
import type { System } from './system.ts';

const invariant = 'no PAN and no name in clear';
const pan = new RegExp(`${panMark}\\d{4}[A-Z]|${fixtures.join('|')}`, 'i');
/** longer than anything looked for, so that nothing hides between two pieces of a file */
const overlapChars = 64;

/** Looks through everything that was written: logs, streams and the files of the database. */
export async function findPersonalData({ folder, natsStore }: System): Promise<Violation[]> {
  const nameOrPan = new RegExp(`${pan.source}|${nameMark}`, 'i');
  const home = path.join(folder, 'postgres');
  const places = [
    { where: path.join(folder, 'logs'), what: nameOrPan },
    { where: natsStore, what: nameOrPan },
    // Names are stored as they are, in their one column; a log of statements would hold more than that.
    { where: path.join(home, 'data'), what: pan },
    { where: path.join(home, 'postgres.log'), what: nameOrPan },
  ];
  const found = await Promise.all(places.map(({ where, what }) => filesWith(where, what)));
  return found.flat().map((file) => ({ invariant, who: file, what: 'holds a PAN or a name in clear' }));
}

async function filesWith(where: string, what: RegExp): Promise<string[]> {
  const entries = await readdir(where, { recursive: true, withFileTypes: true }).catch(() => undefined);
  const files = entries?.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
  const found = [];
  for (const file of files ?? [where]) if (await contains(file, what)) found.push(file);
  return found;
}

async function contains(file: string, what: RegExp): Promise<boolean> {
  let rest = '';
  try {
    for await (const chunk of createReadStream(file, { encoding: 'latin1', highWaterMark: 1 << 20 })) {
      const text = rest + String(chunk);
      if (what.test(text)) return true;
      rest = text.slice(-overlapChars);
    }
  } catch {
    // Servers remove files while we read.
  }
  return false;
}
