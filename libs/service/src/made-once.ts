import { randomUUID } from 'node:crypto';
import { link, mkdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * The content of a file that is made when it is first asked for and never changed after, also when several
 * processes ask at once. For secrets: mode 0600. Folders above it are made as needed.
 */
export async function madeOnce(file: string, make: () => string | Promise<string>): Promise<string> {
  const read = () => readFile(file, 'utf8');
  try {
    return await read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  await mkdir(dirname(file), { recursive: true });
  // A name of its own for each call: a draft left by a process that died may be linked to the file itself.
  const draft = `${file}.${randomUUID()}`;
  await writeFile(draft, await make(), { mode: 0o600, flag: 'wx' });
  // link refuses to replace: of two processes that make it at once, one wins and both read what it made.
  await link(draft, file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  await unlink(draft);
  return read();
}
