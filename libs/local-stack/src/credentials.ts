import { randomBytes, randomUUID } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';

const users = ['gateway', 'scoring', 'decisioning', 'operator', 'natsRoute'] as const;

/** The password of each user of the embedded servers, and that of the NATS servers among themselves. */
export type Credentials = Record<(typeof users)[number], string>;

/**
 * The passwords of the users of the embedded servers, made once and kept in `credentials.json` (mode 0600) in
 * the data folder. For the runner, which has the folder to itself.
 */
export async function readCredentials(dataDir: string): Promise<Credentials> {
  const file = path.join(dataDir, 'credentials.json');
  const known = JSON.parse(await readFile(file, 'utf8').catch(() => '{}')) as Partial<Credentials>;
  const password = (user: keyof Credentials) => known[user] ?? randomBytes(24).toString('base64url');
  const complete = Object.fromEntries(users.map((user) => [user, password(user)])) as Credentials;
  if (users.some((user) => known[user] === undefined)) {
    const draft = `${file}.${randomUUID()}`;
    await writeFile(draft, `${JSON.stringify(complete, null, 2)}\n`, { mode: 0o600, flag: 'wx' });
    await rename(draft, file);
  }
  return complete;
}
