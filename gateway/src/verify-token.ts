import { Refusal, type Role, roles } from '@prequal/schema';
import type { Logger } from '@prequal/service';
import { errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose';

/** What a sound token says. */
export type Claims = { subject: string; roles: readonly Role[]; expiresAtMs: number };

export type TokenRules = {
  issuer: string;
  audience: string;
  /** asymmetric ones only */
  algorithms: string[];
  leewaySeconds: number;
  /** name of the claim with the roles, or the path to it, e.g. realm_access.roles */
  rolesClaim: string;
};

/** The issuer's keys could not be read: that says nothing about the token. */
export class KeysAwayError extends Error {
  override readonly name = 'KeysAwayError';
}

// OpenID Connect's rule for `sub`; besides, PostgreSQL could not store every other character.
const subjectPattern = /^[\x20-\x7e]{1,255}$/;

/**
 * Verifies a token and reads it. Throws `Refusal` UNAUTHENTICATED, or UNAVAILABLE when the issuer's keys
 * cannot be read. Believes nothing in the token before its signature, and no key that it brings along.
 */
export function createTokenVerifier(rules: TokenRules, keys: JWTVerifyGetKey, log: Logger) {
  const { issuer, audience, algorithms, leewaySeconds: clockTolerance, rolesClaim } = rules;
  const requiredClaims = ['iss', 'aud', 'sub', 'exp'];
  return async (token: string): Promise<Claims> => {
    const { payload } = await jwtVerify(token, keys, {
      issuer,
      audience,
      algorithms,
      clockTolerance,
      requiredClaims,
    }).catch((error: unknown) => {
      throw toRefusal(error, log);
    });
    const { sub: subject, exp } = payload;
    if (typeof subject !== 'string' || !subjectPattern.test(subject) || exp === undefined) throw invalid();
    // To the end of the leeway: what a new connection would still be given, an open one keeps.
    return { subject, roles: rolesIn(payload, rolesClaim), expiresAtMs: (exp + clockTolerance) * 1000 };
  };
}

export type TokenVerifier = ReturnType<typeof createTokenVerifier>;

function toRefusal(error: unknown, log: Logger): Refusal {
  if (error instanceof KeysAwayError) {
    log.warn({ err: error }, 'tokens cannot be verified, their issuer is away');
    return new Refusal('UNAVAILABLE', 'Tokens cannot be verified right now. Try again in a moment.');
  }
  if (error instanceof errors.JWTExpired)
    return new Refusal('UNAUTHENTICATED', 'The token has expired. Get a new one.');
  // Anything else is about a key of the issuer's set, e.g. an RSA key that is too short.
  if (!(error instanceof errors.JOSEError)) log.warn({ err: error }, 'a token was refused for a reason of our own');
  return invalid();
}

// Which check failed is of use only to who forges tokens.
function invalid(): Refusal {
  return new Refusal('UNAUTHENTICATED', 'The token is not valid here.');
}

/** The known roles in a claim: an array of them, or one text with spaces between. Of any other shape: none. */
function rolesIn(payload: JWTPayload, claim: string): Role[] {
  const value = own(payload, claim) ?? claim.split('.').reduce<unknown>(own, payload);
  const named: unknown[] = typeof value === 'string' ? value.split(' ') : Array.isArray(value) ? value : [];
  return roles.filter((role) => named.includes(role));
}

function own(value: unknown, key: string): unknown {
  const holdsKey = typeof value === 'object' && value !== null && Object.hasOwn(value, key);
  return holdsKey ? (value as Record<string, unknown>)[key] : undefined;
}
