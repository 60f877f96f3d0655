import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';

/** A key of a test's issuer: what is published, and what signs. */
export type IssuerKey = { publicJwk: JWK; privateKey: CryptoKey; alg: string; kid: string };

/** A real issuer: its keys over HTTP, its tokens signed. */
export type TestIssuer = AsyncDisposable & {
  issuer: string;
  jwksUrl: string;
  /** The first one signs unless another is named; change the array and the next answer has it. */
  keys: IssuerKey[];
  /** Answers what comes now: the keys, or an error, or nothing at all. */
  mode: 'up' | 'broken' | 'silent';
  /** how often the keys were asked for */
  requests: () => number;
  /** A token of alice for prequal, good for an hour, with these claims changed; undefined leaves one out. */
  token: (
    claims?: Record<string, unknown>,
    how?: { key?: IssuerKey; kid?: string; header?: Record<string, unknown> },
  ) => Promise<string>;
};

export async function newIssuerKey(alg = 'ES256', kid = `key-${Math.random()}`): Promise<IssuerKey> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  return { publicJwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' }, privateKey, alg, kid };
}

export async function startIssuer(): Promise<TestIssuer> {
  let asked = 0;
  const server = createServer((_request, response) => {
    asked += 1;
    if (self.mode === 'silent') return;
    if (self.mode === 'broken') {
      response.writeHead(502).end('<html>bad gateway</html>');
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ keys: self.keys.map(({ publicJwk }) => publicJwk) }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const self: TestIssuer = {
    issuer,
    jwksUrl: `${issuer}/.well-known/jwks.json`,
    keys: [await newIssuerKey()],
    mode: 'up',
    requests: () => asked,
    token: async (claims = {}, { key = self.keys[0], kid, header = {} } = {}) => {
      if (!key) throw new Error('an issuer without keys signs nothing');
      const now = Math.floor(Date.now() / 1000);
      const all = { iss: issuer, aud: 'prequal', sub: 'alice', iat: now, exp: now + 3_600, ...claims };
      const head = { alg: key.alg, kid: kid ?? key.kid, ...header };
      return new SignJWT(all).setProtectedHeader(head).sign(key.privateKey);
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return self;
}
