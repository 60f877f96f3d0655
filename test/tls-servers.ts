import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, chmod, chown, copyFile, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { freePort, startPostgres } from '@prequal/local-stack';
import { type CertificateFiles, testNatsUsers } from '@prequal/testing';
import { inject } from 'vitest';
import { authorizationBlock } from '../libs/local-stack/src/nats-users.ts';

/** What a server shows, and whose certificates its clients must have. */
type ServerFiles = CertificateFiles & { caFile: string };

/** A nats-server that talks to nobody without TLS and a client certificate. `host` is where it listens. */
export async function startTlsNats({
  certFile,
  keyFile,
  caFile,
}: ServerFiles): Promise<AsyncDisposable & { host: string }> {
  const folder = await mkdtemp(path.join(tmpdir(), 'prequal-tls-nats-'));
  const host = `127.0.0.1:${await freePort()}`;
  const file = (name: string) => JSON.stringify(name);
  await writeFile(
    path.join(folder, 'nats.conf'),
    `listen: "${host}"
jetstream { store_dir: ${file(folder)} }
tls { cert_file: ${file(certFile)}, key_file: ${file(keyFile)}, ca_file: ${file(caFile)}, verify: true, timeout: 5 }
${authorizationBlock(testNatsUsers)}`,
  );
  const child = spawn(inject('natsServerBinary'), ['-c', path.join(folder, 'nats.conf')], { stdio: 'ignore' });
  const exited = once(child, 'exit');
  return {
    host,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await exited;
      await rm(folder, { recursive: true });
    },
  };
}

/** A PostgreSQL that takes passwords over TLS alone, from clients with a certificate. `url` is that of the owner. */
export async function startTlsPostgres(files: ServerFiles): Promise<AsyncDisposable & { url: string }> {
  await using owned = new AsyncDisposableStack();
  const folder = await mkdtemp(path.join(tmpdir(), 'prequal-tls-postgres-'));
  owned.defer(() => rm(folder, { recursive: true, force: true }));
  // As root, PostgreSQL runs as another user, who must be able to enter.
  await chmod(folder, 0o755);
  const dataDir = path.join(folder, 'postgres');
  await (await startPostgres({ dataDir, port: 0 }))[Symbol.asyncDispose]();
  const data = path.join(dataDir, 'data');
  const { uid, gid } = await stat(data);
  for (const [name, file] of Object.entries({ cert: files.certFile, key: files.keyFile, ca: files.caFile })) {
    const copy = path.join(data, `tls-${name}.pem`);
    await copyFile(file, copy);
    await chmod(copy, 0o600);
    await chown(copy, uid, gid);
  }
  const settings = { ssl: 'on', ssl_cert_file: 'tls-cert.pem', ssl_key_file: 'tls-key.pem', ssl_ca_file: 'tls-ca.pem' };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value}'\n`);
  await appendFile(path.join(data, 'postgresql.conf'), lines.join(''));
  await writeFile(path.join(data, 'pg_hba.conf'), 'hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n');
  const server = owned.use(await startPostgres({ dataDir, port: 0 }));
  const running = owned.move();
  return { url: server.url, [Symbol.asyncDispose]: () => running.disposeAsync() };
}
