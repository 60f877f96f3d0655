import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Role } from '@prequal/schema';
import { madeOnce } from '@prequal/service';
import { exportJWK, generateKeyPair, importJWK, type JWK, SignJWT } from 'jose';
import { z } from 'zod';

/** `iss` of the tokens that a development machine gives itself. */
export const DEVELOPMENT_ISSUER = 'urn:prequal:development';

const alg = 'ES256';
const kidPrefix = 'dev-';

/** Whether a key id is that of a development issuer, whatever machine made it. */
export function isDevelopmentKeyId(kid: string): boolean {
  return kid.startsWith(kidPrefix);
}

const storedKey = z.object({
  kty: z.literal('EC'),
  crv: z.literal('P-256'),
  kid: z.string().startsWith(kidPrefix),
  x: z.string(),
  y: z.string(),
  d: z.string(),
});

/** The private key of this machine's issuer, made once and kept in `development-issuer.json` in the data folder. */
async function developmentKey(dataDir: string): Promise<z.infer<typeof storedKey>> {
  const text = await madeOnce(join(dataDir, 'development-issuer.json'), async () => {
    const { privateKey } = await generateKeyPair(alg, { extractable: true });
    return JSON.stringify({ ...(await exportJWK(privateKey)), kid: `${kidPrefix}${randomUUID()}` });
  });
  return storedKey.parse(JSON.parse(text));
}

/**
 * The environment with this machine's own issuer added, AUTH_ISSUER and AUTH_JWKS, when it names none, has a
 * data folder and is not production. In production a gateway without an issuer does not start.
 */
export async function withDevelopmentIssuer(env: NodeJS.ProcessEnv): Promise<NodeJS.ProcessEnv> {
  const dataDir = env['PREQUAL_DATA_DIR'];
  const namesIssuer = env['AUTH_ISSUER'] || env['AUTH_JWKS_URL'] || env['AUTH_JWKS'];
  if (env['NODE_ENV'] === 'production' || !dataDir || namesIssuer) return env;
  const { kty, crv, kid, x, y } = await developmentKey(dataDir);
  const publicKey: JWK = { kty, crv, kid, x, y, alg, use: 'sig' };
  return { ...env, AUTH_ISSUER: DEVELOPMENT_ISSUER, AUTH_JWKS: JSON.stringify({ keys: [publicKey] }) };
}

export type TokenWishes = {
  subject: string;
  roles: readonly Role[];
  ttlSeconds: number;
  audience: string;
  rolesClaim: string;
};

/** A token of this machine's own issuer. */
export async function issueToken(dataDir: string, wishes: TokenWishes): Promise<string> {
  const key = await developmentKey(dataDir);
  const claims = wishes.roles.length > 0 ? { [wishes.rolesClaim]: wishes.roles } : {};
  const nowSeconds = Math.floor(Date.now() / 1000);
  return new SignJWT(claims)
    .setProtectedHeader({ alg, kid: key.kid, typ: 'JWT' })
    .setIssuer(DEVELOPMENT_ISSUER)
    .setAudience(wishes.audience)
    .setSubject(wishes.subject)
    .setIssuedAt(nowSeconds)
    .setExpirationTime(nowSeconds + wishes.ttlSeconds)
    .sign(await importJWK(key, alg));
}
