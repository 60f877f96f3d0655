import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { ServiceName } from './topology.ts';

type FirstName = ServiceName | 'postgres' | 'nats';
type NumberedName = `${ServiceName | 'nats'}-${number}`;

/** One process of the stack: the first of its kind by its plain name, the others numbered, e.g. `gateway-2`. */
export type ProcessName = FirstName | NumberedName;

/** What `ready.json` says: where the running stack is, and its processes. A server not ours has no pid. */
export type ReadyFile = {
  gatewayUrl: string;
  /** All gateways, when there are several; the first one is `gatewayUrl`. */
  gatewayUrls?: string[];
  /** Contains the password of the embedded database, hence mode 0600. */
  databaseUrl: string;
  /** Of the operator, with the password when the server is embedded. */
  natsUrl: string;
  pids: Partial<Record<FirstName, number>> & Record<NumberedName, number>;
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
