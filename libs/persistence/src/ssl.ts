import { checkServerIdentity } from 'node:tls';
import type { ClientTls } from '@prequal/service';
import type { ClientConfig } from 'pg';

/**
 * The driver's option for TLS as libpq's `verify-full`: the server's certificate must be of the CA and of the name
 * in the address. The driver itself compares with no address that is a number.
 */
export function sslOf({ databaseUrl, tls }: { databaseUrl: string; tls?: ClientTls | undefined }): ClientConfig {
  if (!tls) return {};
  const host = new URL(databaseUrl).hostname.replace(/^\[(.*)\]$/, '$1');
  return {
    ssl: { ...tls, rejectUnauthorized: true, checkServerIdentity: (_, cert) => checkServerIdentity(host, cert) },
  };
}
