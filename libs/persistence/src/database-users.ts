import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import type { ClientTls } from '@prequal/service';
import { Client } from 'pg';
import { sslOf } from './ssl.ts';

/** Whoever connects to the database, with the role that says what each may do there; see the migration `access`. */
export const databaseRoles = {
  gateway: 'prequal_gateway',
  decisioning: 'prequal_decisioning',
  operator: 'prequal_operator',
  reader: 'prequal_reader',
} as const;

export type DatabaseUser = keyof typeof databaseRoles;

// The one of migrations: what they do and this must not meet.
const lockId = 7_737_825;

/**
 * Makes the users that these addresses name, with their passwords, members of their roles; who exists gets
 * the password and the membership. For a database user that may make roles. Throws when an address has no
 * user or no password, or names a superuser, whom no role could restrict.
 */
export async function ensureDatabaseUsers(
  ownerUrl: string,
  urls: Partial<Record<DatabaseUser, string>>,
  tls?: ClientTls,
): Promise<void> {
  const client = new Client({
    connectionString: ownerUrl,
    application_name: 'prequal-users',
    ...sslOf({ databaseUrl: ownerUrl, tls }),
  });
  await client.connect();
  try {
    await client.query('select pg_advisory_lock($1)', [lockId]);
    for (const [name, url] of Object.entries(urls) as [DatabaseUser, string][]) {
      await ensureUser(client, databaseRoles[name], credentialsIn(name, url));
    }
  } finally {
    await client.end();
  }
}

type Credentials = { user: string; password: string };

function credentialsIn(name: DatabaseUser, url: string): Credentials {
  const { username, password } = new URL(url);
  if (!username || !password) throw new Error(`The database address of ${name} needs a user and a password.`);
  return { user: decodeURIComponent(username), password: decodeURIComponent(password) };
}

async function ensureUser(client: Client, role: string, { user, password }: Credentials): Promise<void> {
  const { rows: known } = await client.query<{ rolname: string; rolsuper: boolean }>(
    'select rolname, rolsuper from pg_roles where rolname = any($1)',
    [[role, user]],
  );
  if (known.some(({ rolname, rolsuper }) => rolname === user && rolsuper)) {
    throw new Error(`The database user ${user} is a superuser, so no role restricts it. Name another one.`);
  }
  const missing = (name: string) => !known.some(({ rolname }) => rolname === name);
  if (missing(role)) await client.query(`create role ${client.escapeIdentifier(role)} nologin`);
  const login = `${client.escapeIdentifier(user)} login password ${client.escapeLiteral(scramVerifier(password))}`;
  await client.query(`${missing(user) ? 'create' : 'alter'} role ${login}`);
  await client.query(`grant ${client.escapeIdentifier(role)} to ${client.escapeIdentifier(user)}`);
}

/** What PostgreSQL stores of a password (RFC 5803), so that the password itself is in no statement and no log. */
function scramVerifier(password: string): string {
  const iterations = 4096;
  const salt = randomBytes(16);
  const salted = pbkdf2Sync(password.normalize('NFKC'), salt, iterations, 32, 'sha256');
  const keyed = (text: string) => createHmac('sha256', salted).update(text).digest();
  const storedKey = createHash('sha256').update(keyed('Client Key')).digest('base64');
  return `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${storedKey}:${keyed('Server Key').toString('base64')}`;
}
