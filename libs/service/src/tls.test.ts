import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type CertificateFiles, createAuthority, type TestAuthority } from '@prequal/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ConfigError, readConfig } from './config.ts';
import {
  databaseTls,
  databaseTlsConfig,
  gatewayTls,
  gatewayTlsConfig,
  natsTls,
  natsTlsConfig,
  tlsRules,
} from './tls.ts';

let authority: TestAuthority;
let one: CertificateFiles;
let other: CertificateFiles;
let garbage: string;

beforeAll(async () => {
  authority = await createAuthority();
  one = await authority.issue('one');
  other = await authority.issue('other');
  garbage = join(dirname(authority.caFile), 'garbage');
  await writeFile(garbage, 'no certificate');
});
afterAll(() => authority[Symbol.asyncDispose]());

const shape = { ...natsTlsConfig, ...databaseTlsConfig, ...gatewayTlsConfig };
const read = (env: NodeJS.ProcessEnv) => readConfig(shape, env, tlsRules('NATS', 'DATABASE', 'GATEWAY'));

function refusalOf(env: NodeJS.ProcessEnv): string[] {
  try {
    read(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split('\n').slice(1);
    throw error;
  }
  throw new Error('the environment was accepted');
}

test('without any variable there is no TLS', () => {
  const config = read({ NATS_TLS_CA_FILE: '' });
  expect([natsTls(config), databaseTls(config), gatewayTls(config)]).toEqual([undefined, undefined, undefined]);
});

test('files are read once, when the service starts', async () => {
  const config = read({
    NATS_TLS_CA_FILE: authority.caFile,
    DATABASE_TLS_CA_FILE: authority.caFile,
    DATABASE_TLS_CERT_FILE: one.certFile,
    DATABASE_TLS_KEY_FILE: one.keyFile,
    GATEWAY_TLS_CERT_FILE: one.certFile,
    GATEWAY_TLS_KEY_FILE: one.keyFile,
    GATEWAY_TLS_CLIENT_CA_FILE: authority.caFile,
  });
  const [ca, cert, key] = await Promise.all(
    [authority.caFile, one.certFile, one.keyFile].map((file) => readFile(file, 'utf8')),
  );
  expect(natsTls(config)).toEqual({ ca });
  expect(databaseTls(config)).toEqual({ ca, cert, key });
  expect(gatewayTls(config)).toEqual({ cert, key, clientCa: ca });
});

describe.each(['NATS', 'DATABASE', 'GATEWAY'])('of %s', (server) => {
  const caVariable = server === 'GATEWAY' ? 'GATEWAY_TLS_CLIENT_CA_FILE' : `${server}_TLS_CA_FILE`;
  const pair = ({ certFile, keyFile }: CertificateFiles) => ({
    [`${server}_TLS_CERT_FILE`]: certFile,
    [`${server}_TLS_KEY_FILE`]: keyFile,
  });

  test('a certificate without its key, and a key without its certificate, are refused', () => {
    expect(refusalOf({ [`${server}_TLS_CERT_FILE`]: one.certFile })).toEqual([
      `  ${server}_TLS_KEY_FILE: must be set, too: ${server}_TLS_CERT_FILE is of no use without its key`,
    ]);
    expect(refusalOf({ [`${server}_TLS_KEY_FILE`]: one.keyFile })).toEqual([
      `  ${server}_TLS_CERT_FILE: must be set, too: ${server}_TLS_KEY_FILE is of no use without it`,
    ]);
  });

  test('the key of another certificate is refused', () => {
    expect(refusalOf(pair({ certFile: one.certFile, keyFile: other.keyFile }))).toEqual([
      `  ${server}_TLS_KEY_FILE: must hold the key of the certificate, both as PEM`,
    ]);
  });

  test('a file that cannot be read is told by the name of its variable, without its path', () => {
    const missing = '/nowhere/secret.pem';
    expect(refusalOf({ ...pair(one), [caVariable]: missing })).toEqual([
      `  ${caVariable}: must name a file that can be read (ENOENT)`,
    ]);
    expect(refusalOf(pair({ ...one, keyFile: missing }))).toEqual([
      `  ${server}_TLS_KEY_FILE: must name a file that can be read (ENOENT)`,
    ]);
  });

  test('a file without certificates is nobody to trust', () => {
    expect(refusalOf({ ...pair(one), [caVariable]: garbage })).toEqual([
      `  ${caVariable}: must hold certificates as PEM`,
    ]);
  });
});

test('a gateway cannot ask clients who they are without TLS', () => {
  expect(refusalOf({ GATEWAY_TLS_CLIENT_CA_FILE: authority.caFile })).toEqual([
    '  GATEWAY_TLS_CERT_FILE: must be set, too: only over TLS can clients be asked who they are',
  ]);
});
