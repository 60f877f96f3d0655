import { createHmac } from 'node:crypto';
import { Refusal, type Viewer } from '@prequal/schema';
import { newIssuerKey, quiet, recordedLog, startIssuer, type TestIssuer } from '@prequal/testing';
import { exportSPKI, importJWK, UnsecuredJWT } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { issuerKeys } from './issuer-keys.ts';
import { createTokenVerifier, type TokenRules } from './verify-token.ts';
import { createIdentify } from './viewer.ts';

let issuer: TestIssuer;
beforeAll(async () => {
  issuer = await startIssuer();
});
afterAll(() => issuer[Symbol.asyncDispose]());
beforeEach(() => {
  issuer.mode = 'up';
});

type Changes = Partial<TokenRules> & { maxAgeMs?: number; cooldownMs?: number };

function identifier({ maxAgeMs = 600_000, cooldownMs = 30_000, ...changes }: Changes = {}, log = quiet) {
  const rules = {
    issuer: issuer.issuer,
    audience: 'prequal',
    algorithms: ['RS256', 'ES256', 'EdDSA'],
    leewaySeconds: 5,
    rolesClaim: 'roles',
    ...changes,
  };
  const keys = issuerKeys({ url: issuer.jwksUrl, maxAgeMs, cooldownMs });
  return createIdentify({ verify: createTokenVerifier(rules, keys, log), allowAnonymous: true });
}

/** The viewer, or the code of the refusal; `anonymous` is neither a code nor a subject. */
async function seenAs(authorization: unknown, identify = identifier()): Promise<Exclude<Viewer, 'anonymous'> | string> {
  const { viewer } = await identify(authorization);
  return viewer instanceof Refusal ? viewer.code : viewer;
}

const nowSeconds = () => Math.floor(Date.now() / 1000);
const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const alice = { subject: 'alice', roles: [] };

test.each(['RS256', 'ES256', 'EdDSA'])('a sound %s token is its subject', async (alg) => {
  const key = await newIssuerKey(alg);
  issuer.keys.push(key);
  expect(await seenAs(`Bearer ${await issuer.token({}, { key })}`)).toEqual(alice);
});

test('nobody is nobody, and only when nothing was sent', async () => {
  expect(await seenAs(undefined)).toBe('anonymous');
  const closed = createIdentify({ verify: undefined, allowAnonymous: false });
  expect(await seenAs(undefined, closed)).toBe('UNAUTHENTICATED');
  expect((await closed(undefined, { isTrusted: true })).viewer).toBe('anonymous');
  const withoutIssuer = createIdentify({ verify: undefined, allowAnonymous: true });
  expect(await seenAs(`Bearer ${await issuer.token()}`, withoutIssuer)).toBe('UNAUTHENTICATED');
});

describe('what is no bearer token is refused, not taken for nobody', () => {
  test.each([
    ['nothing after the scheme', 'Bearer '],
    ['an empty text', ''],
    ['another scheme', 'Basic YWxpY2U6c2VjcmV0'],
    ['a word', 'Bearer token'],
    ['five parts, as an encrypted token has', 'Bearer a.b.c.d.e'],
    ['a line break', 'Bearer a.b.c\r\nx: y'],
    ['a number', 5],
    ['an object', { toString: () => 'Bearer a.b.c' }],
    ['an array', ['Bearer a.b.c']],
    ['parts that are no JSON', 'Bearer a.b.c'],
    ['a very long text', `Bearer ${'a'.repeat(100_000)}`],
  ])('%s', async (_what, authorization) => {
    expect(await seenAs(authorization)).toBe('UNAUTHENTICATED');
  });

  test('the scheme may be written in any case, as HTTP has it', async () => {
    expect(await seenAs(`bearer ${await issuer.token()}`)).toEqual(alice);
    expect(await seenAs(await issuer.token())).toBe('UNAUTHENTICATED');
  });
});

describe('a forged token is refused', () => {
  const claims = () => ({
    iss: issuer.issuer,
    aud: 'prequal',
    sub: 'alice',
    exp: nowSeconds() + 600,
    roles: ['auditor'],
  });
  const firstKey = () => issuer.keys[0] ?? expect.fail('no key');
  const hs256 = (secret: string | Buffer, header: object) => {
    const signed = `${encoded({ alg: 'HS256', ...header })}.${encoded(claims())}`;
    return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
  };

  const forgeries: Record<string, () => string | Promise<string>> = {
    'without a signature': () => new UnsecuredJWT(claims()).encode(),
    'alg none in other letters': () => `${encoded({ alg: 'nOnE', kid: firstKey().kid })}.${encoded(claims())}.`,
    'with the signature taken off': async () => (await issuer.token()).replace(/[^.]*$/, ''),
    'with the public key (PEM) as the secret of HS256': async () => {
      const key = (await importJWK(firstKey().publicJwk, 'ES256', { extractable: true })) as CryptoKey;
      return hs256(await exportSPKI(key), { kid: firstKey().kid });
    },
    'with the public key (JWK) as the secret of HS256': () =>
      hs256(JSON.stringify(firstKey().publicJwk), { kid: firstKey().kid }),
    'with an empty secret': () => hs256('', {}),
    'by another key under a known key id': async () =>
      issuer.token({}, { key: await newIssuerKey(), kid: firstKey().kid }),
    'by a key it brings along itself (jwk)': async () => {
      const own = await newIssuerKey();
      const [, body, signature] = (await issuer.token({}, { key: own })).split('.');
      return `${encoded({ alg: 'ES256', jwk: own.publicJwk })}.${body}.${signature}`;
    },
    'by a key at an address it names itself (jku)': async () => {
      await using other = await startIssuer();
      const [, body, signature] = (await other.token({ iss: issuer.issuer })).split('.');
      const header = { alg: 'ES256', kid: other.keys[0]?.kid, jku: other.jwksUrl, x5u: other.jwksUrl };
      const token = `${encoded(header)}.${body}.${signature}`;
      expect(await seenAs(`Bearer ${token}`)).toBe('UNAUTHENTICATED');
      expect(other.requests()).toBe(0);
      return token;
    },
    'with a key id that is a path': () => issuer.token({}, { kid: '../../../dev/null' }),
    'with a key id that is a statement': () => issuer.token({}, { kid: "' union select 'secret" }),
    'with an extension that must be understood (crit)': async () => {
      const [, body, signature] = (await issuer.token()).split('.');
      return `${encoded({ alg: 'ES256', kid: firstKey().kid, crit: ['x'], x: 1 })}.${body}.${signature}`;
    },
    'with other claims under the same signature': async () => {
      const [header, , signature] = (await issuer.token()).split('.');
      return `${header}.${encoded(claims())}.${signature}`;
    },
    'by an algorithm that is not allowed': async () => {
      const key = await newIssuerKey('ES384');
      issuer.keys.push(key);
      return issuer.token({}, { key });
    },
  };

  test.each(Object.entries(forgeries))('%s', async (_how, forge) => {
    expect(await seenAs(`Bearer ${await forge()}`)).toBe('UNAUTHENTICATED');
  });
});

describe('a token that is not for us, or not for now, is refused', () => {
  test.each<[string, () => Record<string, unknown>]>([
    ['another issuer', () => ({ iss: 'https://login.example.com' })],
    ['an issuer with a slash more', () => ({ iss: `${issuer.issuer}/` })],
    ['no issuer', () => ({ iss: undefined })],
    ['another audience', () => ({ aud: 'mail' })],
    ['other audiences', () => ({ aud: ['mail', 'prequal2'] })],
    ['no audience', () => ({ aud: undefined })],
    ['expired beyond the leeway', () => ({ exp: nowSeconds() - 6 })],
    ['no end', () => ({ exp: undefined })],
    ['an end that is no number', () => ({ exp: 'tomorrow' })],
    ['not yet good, beyond the leeway', () => ({ nbf: nowSeconds() + 30 })],
    ['no subject', () => ({ sub: undefined })],
    ['an empty subject', () => ({ sub: '' })],
    ['a subject that is no text', () => ({ sub: 7 })],
    ['a subject that cannot be stored', () => ({ sub: 'ali\0ce' })],
    ['a subject with half a character, which would be stored as another', () => ({ sub: 'alice\ud800' })],
    ['a subject of 256 characters', () => ({ sub: 'a'.repeat(256) })],
  ])('%s', async (_what, claims) => {
    expect(await seenAs(`Bearer ${await issuer.token(claims())}`)).toBe('UNAUTHENTICATED');
  });

  test.each<[string, () => Record<string, unknown>]>([
    ['one audience of several', () => ({ aud: ['mail', 'prequal'] })],
    ['just expired, within the leeway', () => ({ exp: nowSeconds() - 3 })],
    ['good in a moment, within the leeway', () => ({ nbf: nowSeconds() + 3 })],
    ['no date of issue', () => ({ iat: undefined })],
  ])('but not for %s', async (_what, claims) => {
    expect(await seenAs(`Bearer ${await issuer.token(claims())}`)).toEqual(alice);
  });

  test('it says so when it has expired, and nothing else', async () => {
    const messageOf = async (claims: Record<string, unknown>) => {
      const { viewer } = await identifier()(`Bearer ${await issuer.token(claims)}`);
      return (viewer as Refusal).message;
    };
    expect(await messageOf({ exp: nowSeconds() - 60 })).toBe('The token has expired. Get a new one.');
    expect(await messageOf({ aud: 'mail' })).toBe(await messageOf({ iss: 'elsewhere' }));
  });

  test('it holds to the end of the leeway', async () => {
    const exp = nowSeconds() + 60;
    const { expiresAtMs } = await identifier()(`Bearer ${await issuer.token({ exp })}`);
    expect(expiresAtMs).toBe((exp + 5) * 1000);
  });
});

describe('roles', () => {
  const rolesOf = async (claims: Record<string, unknown>, rolesClaim = 'roles') => {
    const viewer = await seenAs(`Bearer ${await issuer.token(claims)}`, identifier({ rolesClaim }));
    return typeof viewer === 'string' ? viewer : viewer.roles;
  };

  test.each([
    ['an array', ['underwriter', 'auditor'], ['underwriter', 'auditor']],
    ['one text', 'analyst', ['analyst']],
    ['a text with spaces', 'openid operator analyst', ['analyst', 'operator']],
    ['roles of others beside ours', ['admin', 'operator'], ['operator']],
    ['none', [], []],
    ['other letters', ['Underwriter', 'AUDITOR', ' auditor'], []],
    ['a number', 7, []],
    ['null', null, []],
    ['true', true, []],
    ['an object', { underwriter: true, 0: 'auditor', length: 1 }, []],
    ['arrays in an array', [['auditor']], []],
    ['texts with spaces in an array', ['auditor operator'], []],
    ['a part of a word', 'underwriters', []],
  ])('from %s', async (_shape, roles, expected) => {
    expect(await rolesOf({ roles })).toEqual(expected);
  });

  test('from a claim below another, or one with dots in its name', async () => {
    expect(await rolesOf({ realm_access: { roles: ['auditor'] } }, 'realm_access.roles')).toEqual(['auditor']);
    const claim = 'https://prequal.example.com/roles';
    expect(await rolesOf({ [claim]: ['analyst'] }, claim)).toEqual(['analyst']);
    expect(await rolesOf({ roles: ['auditor'] }, 'realm_access.roles')).toEqual([]);
    expect(await rolesOf({ roles: ['auditor'] }, 'constructor.name')).toEqual([]);
    expect(await rolesOf({ realm_access: 'auditor' }, 'realm_access.length')).toEqual([]);
  });
});

describe('the keys of the issuer', () => {
  test('are asked for once, however many tokens come', async () => {
    const identify = identifier();
    const before = issuer.requests();
    const tokens = await Promise.all(Array.from({ length: 20 }, () => issuer.token()));
    await Promise.all(tokens.map(async (token) => expect(await seenAs(`Bearer ${token}`, identify)).toEqual(alice)));
    expect(issuer.requests() - before).toBe(1);
  });

  test('are asked for again when a key is new, but not for every key id that somebody makes up', async () => {
    const identify = identifier({ cooldownMs: 300 });
    expect(await seenAs(`Bearer ${await issuer.token()}`, identify)).toEqual(alice);
    const rotated = await newIssuerKey();
    issuer.keys.unshift(rotated);
    await vi.waitFor(
      async () => expect(await seenAs(`Bearer ${await issuer.token()}`, identify)).toEqual(alice),
      10_000,
    );
    const before = issuer.requests();
    for (let index = 0; index < 20; index += 1) {
      expect(await seenAs(`Bearer ${await issuer.token({}, { kid: `made-up-${index}` })}`, identify)).toBe(
        'UNAUTHENTICATED',
      );
    }
    expect(issuer.requests() - before).toBeLessThanOrEqual(2);
  });

  test('that are withdrawn are no longer good once what we remember is too old', async () => {
    const identify = identifier({ maxAgeMs: 200 });
    const withdrawn = await newIssuerKey();
    issuer.keys.push(withdrawn);
    const token = await issuer.token({}, { key: withdrawn });
    expect(await seenAs(`Bearer ${token}`, identify)).toEqual(alice);
    issuer.keys.pop();
    await vi.waitFor(async () => expect(await seenAs(`Bearer ${token}`, identify)).toBe('UNAUTHENTICATED'), 10_000);
  });

  test.each(['broken', 'silent'] as const)(
    'when they cannot be read (%s) the token may be sound: try again',
    async (mode) => {
      const { log, lines } = recordedLog();
      const identify = identifier({}, log);
      issuer.mode = mode;
      const token = await issuer.token({ sub: 'somebody-private' });
      const before = issuer.requests();
      expect(await seenAs(`Bearer ${token}`, identify)).toBe('UNAVAILABLE');
      // It is left alone for a moment.
      expect(await seenAs(`Bearer ${token}`, identify)).toBe('UNAVAILABLE');
      expect(issuer.requests() - before).toBe(1);
      issuer.mode = 'up';
      await vi.waitFor(
        async () => expect(await seenAs(`Bearer ${token}`, identify)).toMatchObject({ roles: [] }),
        10_000,
      );
      expect(lines.join()).toContain('their issuer is away');
      expect(lines.join()).not.toMatch(/somebody-private|eyJ/);
    },
  );

  test('that were read before stay good while it is away', async () => {
    const identify = identifier();
    expect(await seenAs(`Bearer ${await issuer.token()}`, identify)).toEqual(alice);
    issuer.mode = 'broken';
    expect(await seenAs(`Bearer ${await issuer.token()}`, identify)).toEqual(alice);
  });
});
