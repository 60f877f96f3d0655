import type { Logger } from '@prequal/service';
import { createLocalJWKSet } from 'jose';
import { defaultJwksUrl } from './auth-config.ts';
import type { GatewayConfig } from './config.ts';
import { issuerKeys } from './issuer-keys.ts';
import { createTokenVerifier } from './verify-token.ts';
import { createIdentify, type Identify } from './viewer.ts';

/** Recognises callers by the issuer that the configuration names. Nothing is fetched before the first token. */
export function identifyBy(config: GatewayConfig, log: Logger): Identify {
  const allowAnonymous = (config.ALLOW_ANONYMOUS ?? (config.NODE_ENV === 'production' ? 'off' : 'on')) === 'on';
  const { AUTH_ISSUER: issuer, AUTH_JWKS: jwks, AUTH_JWKS_URL: url } = config;
  if (issuer === undefined) return createIdentify({ verify: undefined, allowAnonymous });
  const keys = jwks
    ? createLocalJWKSet(jwks)
    : issuerKeys({
        url: url ?? defaultJwksUrl(issuer),
        maxAgeMs: config.AUTH_JWKS_MAX_AGE_MS,
        cooldownMs: config.AUTH_JWKS_COOLDOWN_MS,
      });
  const rules = {
    issuer,
    audience: config.AUTH_AUDIENCE,
    algorithms: config.AUTH_ALGORITHMS,
    leewaySeconds: config.AUTH_LEEWAY_SECONDS,
    rolesClaim: config.AUTH_ROLES_CLAIM,
  };
  return createIdentify({ verify: createTokenVerifier(rules, keys, log), allowAnonymous });
}
