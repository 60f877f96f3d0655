import { createRemoteJWKSet, customFetch, errors, type JWTVerifyGetKey } from 'jose';
import { KeysAwayError } from './verify-token.ts';

export type IssuerKeysOptions = {
  url: string;
  /** the keys are read again when they are older */
  maxAgeMs: number;
  /** a key id nobody knows makes us look again at most this often: it may be any text */
  cooldownMs: number;
};

const timeoutMs = 3_000;
/** an issuer that did not answer is left alone for this long */
const pauseAfterFailureMs = 1_000;

/** The issuer's public keys by key id. Rejects with `KeysAwayError` when they are needed and cannot be read. */
export function issuerKeys({ url, maxAgeMs, cooldownMs }: IssuerKeysOptions): JWTVerifyGetKey {
  let awayUntil = 0;
  const keys = createRemoteJWKSet(new URL(url), {
    timeoutDuration: timeoutMs,
    cacheMaxAge: maxAgeMs,
    cooldownDuration: cooldownMs,
    [customFetch]: async (address, options) => {
      if (performance.now() < awayUntil) throw new KeysAwayError('the issuer did not answer a moment ago');
      return fetch(address, options);
    },
  });
  return async (header, token) => {
    try {
      return await keys(header, token);
    } catch (error) {
      // Not about the set but about what the token says of itself.
      if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) throw error;
      if (error instanceof KeysAwayError) throw error;
      awayUntil = performance.now() + pauseAfterFailureMs;
      throw new KeysAwayError('the keys of AUTH_JWKS_URL cannot be read', { cause: error });
    }
  };
}
