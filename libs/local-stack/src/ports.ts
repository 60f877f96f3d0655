import { mkdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import path from 'node:path';

// Below 32768, where Linux begins to hand out ports for outgoing connections (other systems begin
// higher). A client that keeps reconnecting to a port inside that range is some day given this very
// port as its own, connects to itself, and the restarted server finds its port taken.
const lowest = 20_000;
const highest = 32_000;

/** Ports that this process has promised, with the file that remembers each: who is to listen there may not do so yet. */
const promised = new Map<number, string>();

/** Where the processes of this machine say to each other what they have promised: a file a port, for a while. */
const promises = path.join(tmpdir(), `prequal-ports-${userInfo().uid}`);
/** by then whoever was promised a port listens there, or never will */
const promiseMs = 120_000;

/** False when there is one already. Of several who make the same file at once, one does. */
async function make(file: string): Promise<boolean> {
  try {
    await writeFile(file, '', { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

const isRecent = async (file: string): Promise<boolean> => Date.now() - (await stat(file)).mtimeMs < promiseMs;

/** False when another process has promised it a moment ago: many stacks may start at once, as in tests. */
async function promise(port: number): Promise<boolean> {
  const file = path.join(promises, String(port));
  await mkdir(promises, { recursive: true });
  if (await make(file)) return true;
  if (await isRecent(file)) return false;
  // Several may see that it is old. One of them renews it, and looks again: it may have been renewed since.
  // Whoever dies here takes one port of thousands out of use until the temporary directory is emptied.
  const renewal = `${file}-renewal`;
  if (!(await make(renewal))) return false;
  try {
    if (await isRecent(file)) return false;
    await utimes(file, new Date(), new Date());
    return true;
  } finally {
    await rm(renewal, { force: true });
  }
}

/** True when a server could listen there now. Another error than "in use" (no such address) throws. */
export async function isPortFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ port, host, exclusive: true }, resolve);
    });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE' || code === 'EACCES') return false;
    throw error;
  }
  await new Promise((resolve) => server.close(resolve));
  return true;
}

/**
 * A port nobody listens on at this moment, from a range that outgoing connections do not use. Never the same
 * one twice in this process, nor one that another process has just promised.
 */
export async function freePort(host = '127.0.0.1', rememberedIn = ''): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = lowest + Math.floor(Math.random() * (highest - lowest));
    if (promised.has(port)) continue;
    promised.set(port, rememberedIn);
    if ((await promise(port)) && (await isPortFree(port, host))) return port;
    promised.delete(port);
  }
  throw new Error(`No free port found between ${lowest} and ${highest} on ${host}.`);
}

/**
 * The port this file remembers when it is still free, else another free one, which is then remembered:
 * a server keeps its address over restarts of the whole stack where possible. Never one of `taken`, ports
 * that are promised to somebody who does not listen yet.
 */
export async function rememberedPort(file: string, taken: readonly number[] = []): Promise<number> {
  const port = Number(await readFile(file, 'utf8').catch(() => ''));
  const usable = Number.isInteger(port) && port > 0 && port < 65_536 && !taken.includes(port);
  const isOurs = (promised.get(port) ?? file) === file;
  if (usable && isOurs && (await isPortFree(port))) {
    promised.set(port, file);
    return port;
  }
  let other = await freePort(undefined, file);
  while (taken.includes(other)) other = await freePort(undefined, file);
  await writeFile(file, `${other}\n`);
  return other;
}

/** Throws an Error for people when the port is occupied; it names the variable that chooses another. */
export async function requireFreePort(port: number, variable: string, host = '127.0.0.1'): Promise<void> {
  if (await isPortFree(port, host)) return;
  throw new Error(
    `Port ${port} on ${host} is occupied by another program. Stop that program, or set ${variable} to another port (0 = any free one).`,
  );
}
