import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { inboxPrefixOf } from '@prequal/schema';
import type { ClientTls } from '@prequal/service';
import type { ConnectionOptions } from 'nats';

/**
 * Where to connect, and as whom. The client leaves a user and password in an address aside, so they are taken out
 * of it; the user of the first address that has one is that of all. Each user has an inbox of its own, where no
 * other may listen. `tls` or a server named `tls://…`: nothing is said to a server without TLS.
 */
export function serversIn(natsUrl: string, tls: ClientTls | undefined): ConnectionOptions {
  const urls = natsUrl.split(',').map((url) => new URL(url.trim()));
  const named = urls.find(({ username }) => username !== '');
  const user = decodeURIComponent(named?.username ?? '');
  const needsTls = tls !== undefined || urls.some(({ protocol }) => protocol === 'tls:');
  return {
    servers: urls.map(({ host }) => host),
    ...(named && {
      user,
      pass: decodeURIComponent(named.password),
      inboxPrefix: inboxPrefixOf(user.replaceAll(/[^\w-]/g, '_')),
    }),
    ...(needsTls && { tls: { ...tls, ...identityCheck(urls.map(({ hostname }) => hostname)) } }),
  };
}

/**
 * For an address that is a number the client would compare the certificate with `localhost`. Then it must be that of
 * one of the numbers in NATS_URL.
 */
function identityCheck(hosts: readonly string[]) {
  const numbers = hosts.map((host) => host.replaceAll(/[[\]]/g, '')).filter((host) => isIP(host) !== 0);
  return {
    checkServerIdentity: (host: string, certificate: PeerCertificate): Error | undefined => {
      const isNumber = host === 'localhost' && !hosts.includes(host) && numbers.length > 0;
      const errors = (isNumber ? numbers : [host]).map((name) => checkServerIdentity(name, certificate));
      return errors.includes(undefined) ? undefined : errors[0];
    },
  };
}
