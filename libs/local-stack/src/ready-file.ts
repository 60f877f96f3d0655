import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

/** What `ready.json` says: where the running stack is, and its processes. A server not ours has no pid. */
export type ReadyFile = {
  gatewayUrl: string;
  /** Contains the password of the embedded database, hence mode 0600. */
  databaseUrl: string;
  natsUrl: string;
  pids: { gateway?: number; scoring?: number; decisioning?: number; postgres?: number; nats?: number };
};

const fileName = 'ready.json';

/** Writes `<dataDir>/ready.json` in one step: a reader sees the old content or the new, never a half. */
export async function writeReadyFile(dataDir: string, content: ReadyFile): Promise<void> {
  const file = path.join(dataDir, fileName);
  const draft = `${file}.${process.pid}.tmp`;
  await writeFile(draft, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600 });
  await rename(draft, file);
}

/** The content of `ready.json`; undefined when there is none, or none that can be read. */
export async function readReadyFile(dataDir: string): Promise<ReadyFile | undefined> {
  try {
    return JSON.parse(await readFile(path.join(dataDir, fileName), 'utf8')) as ReadyFile;
  } catch {
    return undefined;
  }
}

/** Removes `ready.json`: nothing is ready any more. No error when there is none. */
export async function removeReadyFile(dataDir: string): Promise<void> {
  await rm(path.join(dataDir, fileName), { force: true });
}
