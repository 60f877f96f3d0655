import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { z } from 'zod';

/** What a client of a server that speaks TLS knows: whom it trusts, and who it is when the server asks. PEM texts. */
export type ClientTls = { ca?: string; cert?: string; key?: string };

/** What the server itself needs. With `clientCa` only clients with a certificate of it are let in. PEM texts. */
export type ServerTls = { cert: string; key: string; clientCa?: string };

/** A file whose content is the value. Its path is relative to the working directory. */
const pemFile = z
  .string()
  .transform((file, context) => {
    try {
      return readFileSync(file, 'utf8');
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      context.addIssue({ code: 'custom', message: `must name a file that can be read (${code})` });
      return z.NEVER;
    }
  })
  .optional();

export const natsTlsConfig = { NATS_TLS_CA_FILE: pemFile, NATS_TLS_CERT_FILE: pemFile, NATS_TLS_KEY_FILE: pemFile };

export const databaseTlsConfig = {
  DATABASE_TLS_CA_FILE: pemFile,
  DATABASE_TLS_CERT_FILE: pemFile,
  DATABASE_TLS_KEY_FILE: pemFile,
};

export const gatewayTlsConfig = {
  GATEWAY_TLS_CERT_FILE: pemFile,
  GATEWAY_TLS_KEY_FILE: pemFile,
  GATEWAY_TLS_CLIENT_CA_FILE: pemFile,
};

type Read<Shape extends z.ZodRawShape> = z.output<z.ZodObject<Shape>>;

/** Undefined when none of the variables is set: the server decides then whether it talks without TLS. */
export function natsTls(config: Read<typeof natsTlsConfig>): ClientTls | undefined {
  return clientTls(config.NATS_TLS_CA_FILE, config.NATS_TLS_CERT_FILE, config.NATS_TLS_KEY_FILE);
}

/** Undefined when none of the variables is set: no TLS. */
export function databaseTls(config: Read<typeof databaseTlsConfig>): ClientTls | undefined {
  return clientTls(config.DATABASE_TLS_CA_FILE, config.DATABASE_TLS_CERT_FILE, config.DATABASE_TLS_KEY_FILE);
}

/** Undefined when none of the variables is set: plain HTTP. */
export function gatewayTls(config: Read<typeof gatewayTlsConfig>): ServerTls | undefined {
  const { GATEWAY_TLS_CERT_FILE: cert, GATEWAY_TLS_KEY_FILE: key, GATEWAY_TLS_CLIENT_CA_FILE: clientCa } = config;
  if (cert === undefined || key === undefined) return undefined;
  return { cert, key, ...(clientCa !== undefined && { clientCa }) };
}

function clientTls(ca?: string, cert?: string, key?: string): ClientTls | undefined {
  if (ca === undefined && cert === undefined) return undefined;
  return { ...(ca !== undefined && { ca }), ...(cert !== undefined && { cert }), ...(key !== undefined && { key }) };
}

/** Sentences for `readConfig` about what the files of these servers lack together. */
export function tlsRules(...servers: ('NATS' | 'DATABASE' | 'GATEWAY')[]) {
  return (env: NodeJS.ProcessEnv): Record<string, string> =>
    Object.fromEntries(servers.flatMap((server) => brokenIn(server, env)));
}

function brokenIn(server: string, env: NodeJS.ProcessEnv): [string, string][] {
  const [certVariable, keyVariable] = [`${server}_TLS_CERT_FILE`, `${server}_TLS_KEY_FILE`];
  const [certFile, keyFile] = [env[certVariable], env[keyVariable]];
  if (certFile && !keyFile) return [[keyVariable, `must be set, too: ${certVariable} is of no use without its key`]];
  if (keyFile && !certFile) return [[certVariable, `must be set, too: ${keyVariable} is of no use without it`]];
  const cas = [`${server}_TLS_CA_FILE`, `${server}_TLS_CLIENT_CA_FILE`];
  const noServer = server === 'GATEWAY' && !certFile && env['GATEWAY_TLS_CLIENT_CA_FILE'];
  return [
    ...(noServer
      ? ([[certVariable, 'must be set, too: only over TLS can clients be asked who they are']] as const)
      : []),
    ...cas.flatMap((variable) => unusable(variable, { ca: readOrNothing(env[variable]) })),
    ...unusable(keyVariable, { cert: readOrNothing(certFile), key: readOrNothing(keyFile) }),
  ].map(([variable, rule]) => [variable, rule]);
}

/** What cannot be read is told by the variable itself. */
function readOrNothing(file: string | undefined): string | undefined {
  const read = pemFile.safeParse(file || undefined);
  return read.success ? read.data : undefined;
}

function unusable(variable: string, pem: Record<string, string | undefined>): [string, string][] {
  if (Object.values(pem).includes(undefined)) return [];
  try {
    createSecureContext(pem);
    // OpenSSL passes over a file without any certificate.
    if (pem['ca'] === undefined || pem['ca'].includes('-----BEGIN CERTIFICATE-----')) return [];
  } catch {
    // Its message may hold a part of the key.
  }
  const rule =
    pem['ca'] === undefined ? 'must hold the key of the certificate, both as PEM' : 'must hold certificates as PEM';
  return [[variable, rule]];
}
