import { ConfigError, readConfig } from '@prequal/service';
import { describe, expect, test } from 'vitest';
import { gatewayConfig, gatewayRules } from './config.ts';
import { limitsConfig, withDevelopmentLimits } from './limits-config.ts';

const key = Buffer.alloc(32, 7).toString('base64');
const complete = {
  NATS_URL: 'nats://127.0.0.1:4222',
  DATABASE_URL: 'postgres://127.0.0.1/prequal',
  PAN_ENCRYPTION_KEYS: `own-1:${key}`,
  PAN_INDEX_KEYS: `own-1:${key}`,
};
const production = { ...complete, NODE_ENV: 'production', AUTH_ISSUER: 'https://login.example.com' };

const read = (env: NodeJS.ProcessEnv) => readConfig(gatewayConfig, env, gatewayRules);

function refusalOf(env: NodeJS.ProcessEnv): string {
  try {
    read(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return 'accepted';
}

test('callers are recognised by bearer tokens of three algorithms for prequal, with 30 s of leeway', () => {
  expect(read(production)).toMatchObject({
    AUTH_AUDIENCE: 'prequal',
    AUTH_ALGORITHMS: ['RS256', 'ES256', 'EdDSA'],
    AUTH_LEEWAY_SECONDS: 30,
    AUTH_ROLES_CLAIM: 'roles',
  });
});

describe('production refuses to start', () => {
  const publicKey = { kty: 'EC', crv: 'P-256', x: 'x', y: 'y' };
  test.each<[string, NodeJS.ProcessEnv, RegExp]>([
    ['without an issuer', { AUTH_ISSUER: '' }, /AUTH_ISSUER: must name the issuer/],
    ['without PAN keys', { PAN_ENCRYPTION_KEYS: '' }, /PAN_ENCRYPTION_KEYS: .*keys that protect PANs/],
    ['without index keys', { PAN_INDEX_KEYS: '' }, /PAN_INDEX_KEYS: .*keys that protect PANs/],
    ['with a development PAN key', { PAN_ENCRYPTION_KEYS: `dev-1:${key}` }, /PAN_ENCRYPTION_KEYS: .*openssl rand/],
    ['with one among others', { PAN_INDEX_KEYS: `own-1:${key}, dev-1:${key}` }, /PAN_INDEX_KEYS: .*openssl rand/],
    [
      'with the development issuer',
      { AUTH_ISSUER: 'urn:prequal:development', AUTH_JWKS_URL: 'https://x.example' },
      /AUTH_ISSUER: is the development issuer.* AUTH_JWKS_URL/,
    ],
    [
      'with the key of a development issuer',
      { AUTH_JWKS: JSON.stringify({ keys: [{ ...publicKey, kid: 'dev-7' }] }) },
      /AUTH_ISSUER: is the development issuer/,
    ],
    [
      'with keys that can be changed on their way',
      { AUTH_JWKS_URL: 'http://login.example.com/keys' },
      /AUTH_JWKS_URL: must be an https address/,
    ],
    [
      'with an issuer whose keys could be changed on their way',
      { AUTH_ISSUER: 'http://login.example.com' },
      /AUTH_JWKS_URL: must be an https/,
    ],
  ])('%s', (_what, changes, expected) => {
    expect(refusalOf({ ...production, ...changes })).toMatch(expected);
  });

  test('and names everything at once', () => {
    const message = refusalOf({
      ...complete,
      NODE_ENV: 'production',
      PAN_INDEX_KEYS: '',
      PAN_ENCRYPTION_KEYS: `dev-1:${key}`,
    });
    for (const variable of ['AUTH_ISSUER', 'PAN_ENCRYPTION_KEYS', 'PAN_INDEX_KEYS'])
      expect(message).toContain(`${variable}: `);
    expect(message).not.toContain(key);
  });
});

describe('refused everywhere', () => {
  const secret = { kty: 'EC', crv: 'P-256', x: 'x', y: 'y', d: 'the-secret' };
  test.each<[string, NodeJS.ProcessEnv]>([
    ['AUTH_ALGORITHMS', { AUTH_ALGORITHMS: 'none' }],
    ['AUTH_ALGORITHMS', { AUTH_ALGORITHMS: 'RS256,HS256' }],
    ['AUTH_ALGORITHMS', { AUTH_ALGORITHMS: 'RS256,' }],
    ['AUTH_JWKS', { AUTH_JWKS: '{"keys": [' }],
    ['AUTH_JWKS', { AUTH_JWKS: JSON.stringify({ keys: [secret] }) }],
    ['AUTH_JWKS', { AUTH_JWKS: JSON.stringify({ keys: [{ kty: 'oct', k: 'the-secret' }] }) }],
    ['AUTH_JWKS', { AUTH_JWKS: '{"keys": []}', AUTH_JWKS_URL: 'https://login.example.com/keys' }],
    ['AUTH_JWKS_URL', { AUTH_JWKS_URL: 'ftp://login.example.com/keys' }],
    ['AUTH_JWKS_URL', { AUTH_JWKS_URL: 'https://user:the-secret@login.example.com/keys' }],
    ['AUTH_JWKS_URL', { AUTH_ISSUER: 'urn:example:issuer' }],
    ['AUTH_LEEWAY_SECONDS', { AUTH_LEEWAY_SECONDS: '301' }],
    ['AUTH_LEEWAY_SECONDS', { AUTH_LEEWAY_SECONDS: '-1' }],
    ['AUTH_ISSUER', { AUTH_ISSUER: '', ALLOW_ANONYMOUS: 'off' }],
    ['ALLOW_ANONYMOUS', { ALLOW_ANONYMOUS: 'false' }],
  ])('%s of %j', (variable, changes) => {
    const message = refusalOf({ ...complete, AUTH_ISSUER: 'https://login.example.com', ...changes });
    expect(message).toMatch(new RegExp(`^  ${variable}(\\.\\d+)?: `, 'm'));
    expect(message).not.toContain('the-secret');
  });
});

describe('the limits', () => {
  const limits = (env: NodeJS.ProcessEnv) => readConfig(limitsConfig, withDevelopmentLimits(env));

  test('are strict in production and leave room for load tests in development', () => {
    expect(limits({ NODE_ENV: 'production' })).toMatchObject({
      GATEWAY_INTROSPECTION: 'off',
      GATEWAY_MAX_SUBSCRIPTIONS_PER_SOCKET: 20,
      GATEWAY_MAX_SUBMISSIONS_PER_PAN_PER_DAY: 10,
    });
    expect(limits({})).toMatchObject({
      GATEWAY_INTROSPECTION: 'on',
      GATEWAY_MAX_SUBSCRIPTIONS_PER_SOCKET: 2_000,
      GATEWAY_MAX_SUBMISSIONS_PER_PAN_PER_DAY: Number.POSITIVE_INFINITY,
    });
  });

  test('are what the environment says, in development too', () => {
    const named = { GATEWAY_MAX_SUBMISSIONS_PER_PAN_PER_DAY: '3', GATEWAY_INTROSPECTION: 'off' };
    for (const mode of ['production', 'development']) {
      expect(limits({ ...named, NODE_ENV: mode })).toMatchObject({
        GATEWAY_MAX_SUBMISSIONS_PER_PAN_PER_DAY: 3,
        GATEWAY_INTROSPECTION: 'off',
      });
    }
  });

  test.each(Object.keys(limitsConfig).filter((name) => /_MAX_|_MS$|_BYTES$/.test(name)))(
    '%s must be a number that limits',
    (name) => {
      for (const value of ['-1', '1.5', 'many']) expect(refusalOf({ ...complete, [name]: value })).toContain(name);
    },
  );
});

test('on a machine of its own it needs no issuer', () => {
  expect(refusalOf(complete)).toBe('accepted');
  expect(refusalOf({ ...production, AUTH_JWKS_URL: 'http://127.0.0.1:9000/keys' })).toBe('accepted');
});
