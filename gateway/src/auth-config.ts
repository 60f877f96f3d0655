import { DEVELOPMENT_ISSUER, isDevelopmentKeyId } from '@prequal/identity';
import { z } from 'zod';

// None that a public key could be mistaken for a shared secret with (HS…), and never `none`.
const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'] as const;

const urlRule = 'must be the http(s) address of a JSON Web Key Set, without user or password';
const jwksRule = 'must be a JSON Web Key Set with public keys alone: {"keys": [{"kty": …, "kid": …, …}]}';

/** Members of a JWK that are secret: whoever reads them signs tokens (RFC 7518). */
const secretMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];

const publicKeySet = z.string().transform((text, context) => {
  try {
    const set = z.object({ keys: z.array(z.looseObject({ kty: z.string() })) }).parse(JSON.parse(text));
    if (set.keys.every((key) => secretMembers.every((member) => !Object.hasOwn(key, member)))) return set;
  } catch {
    // The parser's own message repeats the text.
  }
  context.addIssue(jwksRule);
  return z.NEVER;
});

const durationMs = (defaultMs: number) => z.coerce.number().int().min(1).max(86_400_000).default(defaultMs);

/** Whom the gateway believes who a caller is. */
export const authConfig = {
  /** `iss` of the tokens; without it none is accepted */
  AUTH_ISSUER: z.string().optional(),
  AUTH_AUDIENCE: z.string().default('prequal'),
  /** where the issuer's public keys are; not set: below the issuer's own address */
  AUTH_JWKS_URL: z
    .string()
    .refine((url) => /^https?:\/\/[^\s@]+$/.test(url) && URL.canParse(url), { error: urlRule })
    .optional(),
  /** the keys themselves, instead of an address */
  AUTH_JWKS: publicKeySet.optional(),
  AUTH_JWKS_MAX_AGE_MS: durationMs(600_000),
  AUTH_JWKS_COOLDOWN_MS: durationMs(30_000),
  AUTH_ALGORITHMS: z
    .string()
    .default('RS256,ES256,EdDSA')
    .transform((text) => text.split(',').map((name) => name.trim()))
    .pipe(z.array(z.enum(algorithms, { error: `must be some of ${algorithms.join(', ')}, comma-separated` }))),
  AUTH_LEEWAY_SECONDS: z.coerce.number().int().min(0).max(300).default(30),
  AUTH_ROLES_CLAIM: z.string().default('roles'),
  ALLOW_ANONYMOUS: z.enum(['on', 'off'], { error: 'must be on or off' }).optional(),
};

/** What no variable shows alone; the sentences name what to set. */
export function authRules(env: NodeJS.ProcessEnv): Record<string, string> {
  const { AUTH_ISSUER: issuer, AUTH_JWKS_URL: url, AUTH_JWKS: jwks, NODE_ENV: mode, ALLOW_ANONYMOUS: anonymous } = env;
  const keysUrl = url || (jwks ? undefined : issuer && defaultJwksUrl(issuer));
  const refused: Record<string, string> = {};
  if (issuer && keysUrl && !/^https?:/.test(keysUrl)) {
    refused['AUTH_JWKS_URL'] = 'must be set: AUTH_ISSUER is no address where its keys could be looked for';
  }
  if (url && jwks) refused['AUTH_JWKS'] = 'must not be set together with AUTH_JWKS_URL';
  if (!issuer && (mode === 'production' || anonymous === 'off')) {
    refused['AUTH_ISSUER'] =
      'must name the issuer of the tokens as their `iss` does, e.g. https://login.example.com: without it nobody can be known';
  }
  if (mode !== 'production') return refused;
  if (issuer === DEVELOPMENT_ISSUER || (jwks && namesDevelopmentKey(jwks))) {
    refused['AUTH_ISSUER'] =
      'is the development issuer, whose keys lie in a folder. Set AUTH_ISSUER and AUTH_JWKS_URL to those of your own';
  }
  if (keysUrl?.startsWith('http:') && !isLoopback(keysUrl)) {
    refused['AUTH_JWKS_URL'] =
      'must be an https address in production: who can change the keys on their way can be anybody';
  }
  return refused;
}

export function defaultJwksUrl(issuer: string): string {
  return `${issuer.replace(/\/+$/, '')}/.well-known/jwks.json`;
}

function namesDevelopmentKey(jwks: string): boolean {
  const { success, data } = publicKeySet.safeParse(jwks);
  return success && data.keys.some(({ kid }) => isDevelopmentKeyId(String(kid)));
}

function isLoopback(url: string): boolean {
  return URL.canParse(url) && /^(localhost|127(\.\d+){3}|\[::1\])$/.test(new URL(url).hostname);
}
