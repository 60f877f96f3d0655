import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose';
import { expect, onTestFinished, test } from 'vitest';
import { DEVELOPMENT_ISSUER, isDevelopmentKeyId, withDevelopmentIssuer } from './development-issuer.ts';
import { tokenFor, UsageError } from './token.ts';

async function dataFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'prequal-issuer-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

test('a token is good for the gateway on the same data folder, and for no other', async () => {
  const env = { PREQUAL_DATA_DIR: join(await dataFolder(), 'made', 'on', 'demand') };
  const token = await tokenFor(['--sub', 'alice', '--role', 'underwriter', '--role', 'auditor', '--ttl', '15m'], env);
  const { AUTH_ISSUER, AUTH_JWKS } = await withDevelopmentIssuer(env);
  const keys = createLocalJWKSet(JSON.parse(AUTH_JWKS ?? ''));
  const { payload } = await jwtVerify(token, keys, { issuer: DEVELOPMENT_ISSUER, audience: 'prequal' });
  expect(AUTH_ISSUER).toBe(DEVELOPMENT_ISSUER);
  expect(payload).toMatchObject({ sub: 'alice', roles: ['underwriter', 'auditor'] });
  expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(900);
  expect(isDevelopmentKeyId(decodeProtectedHeader(token).kid ?? '')).toBe(true);

  const elsewhere = await tokenFor(['--sub', 'alice'], { PREQUAL_DATA_DIR: await dataFolder() });
  await expect(jwtVerify(elsewhere, keys)).rejects.toThrow();
});

test('the key stays the same, is for its owner alone, and only its public part is handed on', async () => {
  const folder = await dataFolder();
  const made = await Promise.all(Array.from({ length: 5 }, () => withDevelopmentIssuer({ PREQUAL_DATA_DIR: folder })));
  expect(new Set(made.map(({ AUTH_JWKS }) => AUTH_JWKS)).size).toBe(1);
  expect(Object.keys(JSON.parse(made[0]?.['AUTH_JWKS'] ?? '').keys[0])).not.toContain('d');
  expect(await readdir(folder)).toEqual(['development-issuer.json']);
  expect((await stat(join(folder, 'development-issuer.json'))).mode & 0o777).toBe(0o600);
});

test.each([
  ['in production', { NODE_ENV: 'production' }],
  ['when there is an issuer', { AUTH_ISSUER: 'https://login.example.com' }],
  ['when there are keys', { AUTH_JWKS_URL: 'https://login.example.com/keys' }],
])('no issuer is made up %s', async (_when, given) => {
  const env = { PREQUAL_DATA_DIR: await dataFolder(), ...given };
  expect(await withDevelopmentIssuer(env)).toEqual(env);
  expect(await readdir(env.PREQUAL_DATA_DIR)).toEqual([]);
});

test.each([
  ['nobody', []],
  ['an empty subject', ['--sub', '']],
  ['a subject no gateway accepts', ['--sub', 'a\nb']],
  ['a role there is not', ['--sub', 'alice', '--role', 'admin']],
  ['a time that has passed', ['--sub', 'alice', '--ttl', '0s']],
  ['a time without a unit', ['--sub', 'alice', '--ttl', '60']],
  ['a time without end', ['--sub', 'alice', '--ttl', '366d']],
  ['an option there is not', ['--sub', 'alice', '--admin']],
])('refused: %s', async (_what, args) => {
  await expect(tokenFor(args, { PREQUAL_DATA_DIR: await dataFolder() })).rejects.toThrow(UsageError);
});

test('refused: a token where the issuer is another', async () => {
  const env = { PREQUAL_DATA_DIR: await dataFolder() };
  await expect(tokenFor(['--sub', 'alice'], { ...env, NODE_ENV: 'production' })).rejects.toThrow(UsageError);
  await expect(tokenFor(['--sub', 'alice'], { ...env, AUTH_ISSUER: 'https://x' })).rejects.toThrow(UsageError);
});

test('npm run token prints the token and nothing else', async () => {
  const root = join(import.meta.dirname, '../../..');
  const env = { ...process.env, PREQUAL_DATA_DIR: await dataFolder(), NODE_ENV: '' };
  const run = (...args: string[]) =>
    promisify(execFile)('npm', ['run', 'token', '--silent', '--', ...args], { cwd: root, env });
  const { stdout, stderr } = await run('--sub', 'alice');
  expect(decodeJwt(stdout.trim())).toMatchObject({ sub: 'alice', iss: DEVELOPMENT_ISSUER, aud: 'prequal' });
  expect([stdout.split('\n').length, stderr]).toEqual([2, '']);
  await expect(run('--role', 'admin')).rejects.toMatchObject({ code: 2, stdout: '' });
});
