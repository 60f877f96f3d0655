import path from 'node:path';
import { parseArgs } from 'node:util';
import { type Role, roles } from '@prequal/schema';
import { issueToken } from './development-issuer.ts';

export const usage = `A token for this machine's own gateway, printed on standard output.

  npm run token --silent -- --sub alice [--role underwriter] [--ttl 1h]

  --sub   who it is for: 1 to 255 printable ASCII characters
  --role  ${roles.join(', ')}; may be repeated; without one: an applicant
  --ttl   how long it is good for: a number and s, m, h or d (default 1h, at most 365d)`;

/** The command was not understood; the message says what was wrong. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

const repoRoot = path.resolve(import.meta.dirname, '../../..');
const secondsPer: Record<string, number> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** The token that the arguments ask for. Throws `UsageError`. */
export async function tokenFor(args: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  if (env['NODE_ENV'] === 'production' || env['AUTH_ISSUER']) {
    throw new UsageError(
      'Tokens come from the issuer that AUTH_ISSUER names. Only a development machine makes its own.',
    );
  }
  const { sub, role = [], ttl } = options(args);
  if (!sub || !/^[\x20-\x7e]{1,255}$/.test(sub)) throw new UsageError('--sub must say who the token is for.');
  const unknown = role.find((name) => !isRole(name));
  if (unknown !== undefined) throw new UsageError(`${unknown} is no role.`);
  return issueToken(path.resolve(repoRoot, env['PREQUAL_DATA_DIR'] || '.data'), {
    subject: sub,
    roles: role.filter(isRole),
    ttlSeconds: seconds(ttl),
    audience: env['AUTH_AUDIENCE'] || 'prequal',
    rolesClaim: env['AUTH_ROLES_CLAIM'] || 'roles',
  });
}

function options(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        sub: { type: 'string' },
        role: { type: 'string', multiple: true },
        ttl: { type: 'string', default: '1h' },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function isRole(name: string): name is Role {
  return (roles as readonly string[]).includes(name);
}

function seconds(ttl: string): number {
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(ttl) ?? [];
  const total = Number(count) * (secondsPer[unit ?? ''] ?? 0);
  if (!(total >= 1 && total <= 365 * 86_400))
    throw new UsageError('--ttl must be like 90s, 15m, 1h or 7d, at most 365d.');
  return total;
}
