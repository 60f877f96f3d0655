import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { request as plainRequest } from 'node:http';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { natsUrlFor } from '@prequal/local-stack';
import { connectBroker } from '@prequal/messaging';
import { developmentKeys } from '@prequal/pan';
import { ensureDatabaseUsers, migrate, openDatabase, sql } from '@prequal/persistence';
import type { ClientTls } from '@prequal/service';
import {
  type CertificateFiles,
  createAuthority,
  quiet,
  recordedLog,
  type TestAuthority,
  urlsOfUsers,
} from '@prequal/testing';
import { createClient } from 'graphql-ws';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { goodInput, submitDocument, watchDocument } from './stack.ts';
import { startTlsNats, startTlsPostgres } from './tls-servers.ts';

const owned = new AsyncDisposableStack();
const root = path.join(import.meta.dirname, '..');
let authority: TestAuthority;
/** signs what nobody else trusts */
let stranger: TestAuthority;
let ours: CertificateFiles;
let theirs: CertificateFiles;
let server: CertificateFiles;
let nats: { host: string };
let postgres: { url: string };

beforeAll(async () => {
  authority = owned.use(await createAuthority());
  stranger = owned.use(await createAuthority());
  [ours, theirs, server] = await Promise.all([
    authority.issue('service'),
    stranger.issue('service'),
    authority.issue('server', 'IP:127.0.0.1'),
  ]);
  const files = { ...server, caFile: authority.caFile };
  nats = owned.use(await startTlsNats(files));
  postgres = owned.use(await startTlsPostgres(files));
});
afterAll(() => owned.disposeAsync());

async function tlsOf({ caFile }: { caFile: string }, pair?: CertificateFiles): Promise<ClientTls> {
  const read = (file: string) => readFile(file, 'utf8');
  return {
    ca: await read(caFile),
    ...(pair && { cert: await read(pair.certFile), key: await read(pair.keyFile) }),
  };
}

describe('NATS', () => {
  const url = (host = nats.host) => natsUrlFor(`nats://${host}`, { user: 'test', password: 'test' });
  const elsewhere = () => url(nats.host.replace('127.0.0.1', 'localhost'));

  test('with a certificate of its own a service connects, and what it says arrives', async () => {
    await using broker = connectBroker({ natsUrl: url(), tls: await tlsOf(authority, ours), name: 'test', log: quiet });
    const { jsm } = await broker.jetStream();
    await jsm.streams.add({ name: 'tried', subjects: ['tried'] });
    await broker.connectedJetStream().publish('tried', 'over TLS');
    expect((await jsm.streams.getMessage('tried', { seq: 1 })).string()).toBe('over TLS');
    await jsm.streams.delete('tried');
  });

  // With TLS 1.3 the server refuses after the client's own handshake has ended, and the client only sees silence.
  const notLetIn = /TIMEOUT|alert|disconnected|ECONNRESET/i;
  const refusals: [string, () => Promise<{ natsUrl: string; tls: ClientTls | undefined }>, RegExp][] = [
    ['without TLS of its own', async () => ({ natsUrl: url(), tls: undefined }), /certificate/],
    ['without a certificate', async () => ({ natsUrl: url(), tls: await tlsOf(authority) }), notLetIn],
    [
      'with a certificate of another authority',
      async () => ({ natsUrl: url(), tls: await tlsOf(authority, theirs) }),
      notLetIn,
    ],
    [
      'when the server is of another authority',
      async () => ({ natsUrl: url(), tls: await tlsOf(stranger, ours) }),
      /unable to .*certificate|self-signed|signature/,
    ],
    [
      'when the server has another name',
      async () => ({ natsUrl: elsewhere(), tls: await tlsOf(authority, ours) }),
      /localhost/,
    ],
  ];

  test.for(refusals)('%s nobody connects', async ([, given, reason]) => {
    const { log, lines } = recordedLog();
    await using broker = connectBroker({ ...(await given()), name: 'test', log });
    await vi.waitFor(() => expect(lines.join('')).toContain('NATS is away, waiting for it'), 10_000);
    expect(JSON.parse(lines[0] ?? '').err.message).toMatch(reason);
    expect(broker.isConnected()).toBe(false);
  });
});

describe('PostgreSQL', () => {
  const probe = async (databaseUrl: string, tls: ClientTls | undefined) => {
    await using database = await openDatabase({ databaseUrl, tls, poolMax: 1, applicationName: 'test' });
    const { rows } = await sql`select ssl, client_dn from pg_stat_ssl where pid = pg_backend_pid()`.execute(
      database.sql(),
    );
    return rows;
  };

  test('with a certificate of its own a service connects, over TLS', async () => {
    expect(await probe(postgres.url, await tlsOf(authority, ours))).toEqual([{ ssl: true, client_dn: '/CN=service' }]);
  });

  test('without TLS it is not let in', async () => {
    await expect(probe(postgres.url, undefined)).rejects.toThrow(/no pg_hba.conf entry .* no encryption/);
  });

  test('without a certificate, or with one of another authority, it is not let in', async () => {
    await expect(probe(postgres.url, await tlsOf(authority))).rejects.toThrow(/requires a valid client certificate/);
    await expect(probe(postgres.url, await tlsOf(authority, theirs))).rejects.toThrow(/unknown ca|alert/i);
  });

  test('a server of another authority, or with another name, is told nothing', async () => {
    const certificateOf = (authorityOfServer: TestAuthority) => tlsOf(authorityOfServer, ours);
    await expect(probe(postgres.url, await certificateOf(stranger))).rejects.toThrow(
      /unable to .*certificate|self-signed/,
    );
    const elsewhere = postgres.url.replace('@127.0.0.1', '@localhost');
    await expect(probe(elsewhere, await certificateOf(authority))).rejects.toThrow(/does not match certificate/);
  });
});

/** A service in a process of its own, with nothing of ours in its environment. */
async function startProcess(name: string, env: Record<string, string | undefined>): Promise<string> {
  const child = fork(path.join(root, name, 'src/main.ts'), {
    cwd: root,
    env: { PATH: process.env['PATH'], ...env },
    execArgv: [],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const exited = once(child, 'exit');
  owned.defer(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  const [message] = await Promise.race([once(child, 'message'), exited.then(() => [{ listening: `${name} ended` }])]);
  return (message as { listening: string }).listening;
}

/** Answers the status and the body. */
async function post(url: string, tls: ClientTls, body: object): Promise<[number | undefined, string]> {
  const headers = { 'content-type': 'application/json' };
  const sending = request(`${url}/graphql`, { method: 'POST', headers, agent: false, ...tls });
  sending.end(JSON.stringify(body));
  const [response] = await once(sending, 'response');
  return [response.statusCode, await text(response)];
}

describe('the whole system, everything over mutual TLS', () => {
  let gatewayUrl: string;
  let env: Record<string, string | undefined>;

  beforeAll(async () => {
    const dataDir = await mkdtemp(path.join(tmpdir(), 'prequal-tls-data-'));
    owned.defer(() => rm(dataDir, { recursive: true, force: true }));
    const tls = await tlsOf(authority, ours);
    await migrate({ databaseUrl: postgres.url, tls });
    const urls = urlsOfUsers(postgres.url);
    await ensureDatabaseUsers(postgres.url, urls, tls);
    const files = (of: string) => ({
      [`${of}_TLS_CA_FILE`]: authority.caFile,
      [`${of}_TLS_CERT_FILE`]: ours.certFile,
      [`${of}_TLS_KEY_FILE`]: ours.keyFile,
    });
    const envOf = (service: 'gateway' | 'scoring' | 'decisioning') => ({
      ...env,
      ...(service !== 'scoring' && { DATABASE_URL: urls[service], ...files('DATABASE') }),
      NATS_URL: natsUrlFor(`tls://${nats.host}`, { user: service, password: service }),
      ...files('NATS'),
      [`${service.toUpperCase()}_PORT`]: '0',
    });
    env = { ...(await developmentKeys(dataDir)), PREQUAL_DATA_DIR: dataDir, LOG_LEVEL: 'silent' };
    env = {
      ...envOf('gateway'),
      GATEWAY_TLS_CERT_FILE: server.certFile,
      GATEWAY_TLS_KEY_FILE: server.keyFile,
    };
    const mutual = { ...env, GATEWAY_TLS_CLIENT_CA_FILE: authority.caFile };
    [gatewayUrl = ''] = await Promise.all([
      startProcess('gateway', mutual),
      startProcess('scoring', envOf('scoring')),
      startProcess('decisioning', envOf('decisioning')),
    ]);
  }, 60_000);

  test('an application is submitted over HTTPS and its decision pushed over WSS', async () => {
    expect(gatewayUrl).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    const tls = await tlsOf(authority, ours);
    const id = await vi.waitFor(async () => {
      const [status, body] = await post(gatewayUrl, tls, { query: submitDocument, variables: { input: goodInput } });
      expect(status).toBe(200);
      return JSON.parse(body).data.submitApplication.application.id as string;
    }, 20_000);
    class TlsWebSocket extends WebSocket {
      constructor(url: string, protocols: string | string[]) {
        super(url, protocols, { ...tls });
      }
    }
    const client = createClient({
      url: `${gatewayUrl.replace('https', 'wss')}/graphql`,
      webSocketImpl: TlsWebSocket,
      retryAttempts: 0,
    });
    const seen: unknown[] = [];
    for await (const { data } of client.iterate({ query: watchDocument, variables: { id } })) seen.push(data);
    await client.dispose();
    expect(seen.at(-1)).toMatchObject({ applicationStatus: { status: 'PRE_APPROVED', final: true } });
  });

  test('a client without a certificate, with one of another authority or without TLS is refused', async () => {
    const body = { query: '{ __typename }' };
    expect(await post(gatewayUrl, await tlsOf(authority, ours), body)).toMatchObject([200, /Query/]);
    for (const pair of [undefined, theirs]) {
      await expect(post(gatewayUrl, await tlsOf(authority, pair), body)).rejects.toThrow(/alert|ECONNRESET|hang up/i);
      const socket = new WebSocket(`${gatewayUrl.replace('https', 'wss')}/graphql`, 'graphql-transport-ws', {
        ...(await tlsOf(authority, pair)),
      });
      const [error] = (await once(socket, 'error')) as [Error];
      expect(error.message).toMatch(/alert|ECONNRESET|hang up/i);
    }
    const plain = plainRequest(`${gatewayUrl.replace('https', 'http')}/livez`).end();
    const [error] = (await once(plain, 'error')) as [Error];
    expect(error.message).toMatch(/ECONNRESET|hang up/i);
  });

  test('a client sees that a gateway is not the one it trusts', async () => {
    await expect(post(gatewayUrl, await tlsOf(stranger, ours), {})).rejects.toThrow(/certificate/);
    const elsewhere = gatewayUrl.replace('127.0.0.1', 'localhost');
    await expect(post(elsewhere, await tlsOf(authority, ours), {})).rejects.toThrow(/certificate/);
  });

  test('without an authority for its clients a gateway asks them for nothing', async () => {
    const url = await startProcess('gateway', env);
    const answer = await post(url, await tlsOf(authority), { query: '{ __typename }' });
    expect(answer[0]).toBe(200);
  });
});
