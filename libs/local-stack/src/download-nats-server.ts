import { createHash } from 'node:crypto';
import { chmod, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Log } from './local-server.ts';
import type { NatsRelease } from './nats-release.ts';
import { natsPlatform } from './nats-release.ts';
import { runCommand } from './processes.ts';

export type DownloadOptions = {
  release: NatsRelease;
  log: Log;
  connectTimeoutMs: number;
  signal?: AbortSignal | undefined;
};

const downloadTimeoutMs = 180_000;
const maxArchiveBytes = 100_000_000;

/**
 * Downloads the pinned release into the folder, refuses it unless its SHA-256 is the pinned one, unpacks
 * it and returns the path of the program. Throws with one sentence that says what failed.
 */
export async function downloadRelease(
  folder: string,
  { release, log, connectTimeoutMs, signal }: DownloadOptions,
): Promise<string> {
  const platform = natsPlatform();
  const wanted = release.sha256[platform];
  if (!wanted)
    throw new Error(
      `No checksum of nats-server ${release.version} is pinned for ${platform}, so it is not downloaded.`,
    );
  const url = `${release.baseUrl}/nats-server-v${release.version}-${platform}.tar.gz`;
  log(`Downloading nats-server ${release.version} from ${new URL(url).host}.`);
  const archive = await fetchBytes(url, connectTimeoutMs, signal);
  const actual = createHash('sha256').update(archive).digest('hex');
  if (actual !== wanted)
    throw new Error(`The download from ${url} was refused: its SHA-256 is ${actual}, not the pinned ${wanted}.`);
  const file = path.join(folder, 'nats-server.tar.gz');
  await writeFile(file, archive);
  const unpacked = await runCommand('tar', ['-xzf', file, '-C', folder, '--strip-components=1']);
  if (!unpacked.ok) throw new Error(`The downloaded nats-server could not be unpacked: ${unpacked.output.trim()}`);
  const binary = path.join(folder, process.platform === 'win32' ? 'nats-server.exe' : 'nats-server');
  await chmod(binary, 0o755);
  return binary;
}

async function fetchBytes(url: string, connectTimeoutMs: number, signal?: AbortSignal): Promise<Buffer> {
  // Two limits: an unreachable host is given up quickly, a slow one may take its time.
  const connecting = new AbortController();
  const timer = setTimeout(
    () => connecting.abort(new Error(`no answer within ${connectTimeoutMs / 1000} s`)),
    connectTimeoutMs,
  );
  const limits = [connecting.signal, AbortSignal.timeout(downloadTimeoutMs), ...(signal ? [signal] : [])];
  try {
    const response = await fetch(url, { signal: AbortSignal.any(limits) });
    clearTimeout(timer);
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of response.body ?? []) {
      size += chunk.byteLength;
      if (size > maxArchiveBytes) throw new Error(`more than ${maxArchiveBytes} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } catch (error) {
    throw new Error(`The download from ${url} failed: ${reasonOf(error)}.`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

// fetch says only "fetch failed"; the reason a person can act on is in its cause.
function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  if (!cause) return message;
  const { code, message: inner } = cause as NodeJS.ErrnoException;
  return code ?? inner ?? message;
}
