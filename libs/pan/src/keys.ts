import { createSecretKey, hkdfSync, type KeyObject, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { madeOnce } from '@prequal/service';
import { z } from 'zod';

/** Keys by their id; the first one given is the one that writes, all of them read. */
export type KeyRing = { currentId: string; keys: ReadonlyMap<string, Buffer> };

const keyBytes = 32;
const entryPattern = /^([a-z0-9-]{1,32}):([A-Za-z0-9+/]{43}=)$/;

/**
 * Reads a key ring as it stands in the environment: `id:base64,id:base64`, each key 32 random bytes, the
 * current one first. For `readConfig`; a wrong ring is refused without repeating any of it.
 */
export const keyRing = z
  .string({ error: 'the keys that protect PANs, as `id:key`, key = 32 random bytes in base64' })
  .transform((text, context): KeyRing => {
    const entries = text.split(',').map((entry) => entryPattern.exec(entry.trim()));
    const keys = new Map<string, Buffer>();
    for (const entry of entries) {
      if (!entry?.[1] || !entry[2]) {
        context.addIssue(
          'must be `id:key`, comma-separated, each key 32 random bytes in base64 (openssl rand -base64 32), the current one first',
        );
        return z.NEVER;
      }
      if (keys.has(entry[1])) {
        context.addIssue('names a key id twice: one of the two keys would be lost, and what it has written with it');
        return z.NEVER;
      }
      keys.set(entry[1], Buffer.from(entry[2], 'base64'));
    }
    return { currentId: entries[0]?.[1] ?? '', keys };
  });

/**
 * A key for one purpose alone (HKDF-SHA-256, RFC 5869), so that none is ever used for two. As a key object: Node makes
 * one of a buffer at each use, which takes seven times as long as the digest of a PAN.
 */
export function deriveKey(master: Buffer, purpose: string): KeyObject {
  return createSecretKey(Buffer.from(hkdfSync('sha256', master, '', `prequal/${purpose}/v1`, keyBytes)));
}

/**
 * The keys of a development machine, made once and kept in `development-keys.json` (mode 0600) in the data
 * folder, as the environment variables a service reads: PAN_ENCRYPTION_KEYS and PAN_INDEX_KEYS.
 */
export async function developmentKeys(
  dataDir: string,
): Promise<{ PAN_ENCRYPTION_KEYS: string; PAN_INDEX_KEYS: string }> {
  const fresh = () => `${developmentKeyPrefix}1:${randomBytes(keyBytes).toString('base64')}`;
  const text = await madeOnce(join(dataDir, 'development-keys.json'), () =>
    JSON.stringify({ PAN_ENCRYPTION_KEYS: fresh(), PAN_INDEX_KEYS: fresh() }),
  );
  return developmentKeysFile.parse(JSON.parse(text));
}

const developmentKeyPrefix = 'dev-';

const developmentKeysFile = z.object({ PAN_ENCRYPTION_KEYS: z.string(), PAN_INDEX_KEYS: z.string() });

/**
 * The environment with the development keys added, when it names no PAN keys and is not production. In
 * production a service without keys does not start: its configuration says what to set.
 */
export async function withDevelopmentKeys(env: NodeJS.ProcessEnv): Promise<NodeJS.ProcessEnv> {
  const dataDir = env['PREQUAL_DATA_DIR'];
  const namesKeys = env['PAN_ENCRYPTION_KEYS'] || env['PAN_INDEX_KEYS'];
  if (env['NODE_ENV'] === 'production' || !dataDir || namesKeys) return env;
  return { ...env, ...(await developmentKeys(dataDir)) };
}

/** For `readConfig`: in production no key may be one that a development machine has made and left in a folder. */
export function developmentKeyRules(env: NodeJS.ProcessEnv): Record<string, string> {
  if (env['NODE_ENV'] !== 'production') return {};
  const named = (['PAN_ENCRYPTION_KEYS', 'PAN_INDEX_KEYS'] as const).filter((variable) =>
    env[variable]?.split(',').some((entry) => entry.trim().startsWith(developmentKeyPrefix)),
  );
  const rule = `holds a development key (its id begins with ${developmentKeyPrefix}). Set it to keys of your own: openssl rand -base64 32`;
  return Object.fromEntries(named.map((variable) => [variable, rule]));
}
