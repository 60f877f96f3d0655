import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The files of a certificate and its key. */
export type CertificateFiles = { certFile: string; keyFile: string };

/** A certificate authority of a test's own. Disposing removes its files. */
export type TestAuthority = AsyncDisposable & {
  caFile: string;
  /** for a server, the names by which it may be asked for, e.g. `IP:127.0.0.1`; for a client none */
  issue: (commonName: string, ...names: string[]) => Promise<CertificateFiles>;
};

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** Made with openssl, as people make them. */
export async function createAuthority(): Promise<TestAuthority> {
  const folder = await mkdtemp(join(tmpdir(), 'prequal-certificates-'));
  const openssl = (...args: string[]) => run('openssl', args, { cwd: folder });
  await openssl('req', '-x509', ...newKey, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2', '-subj', '/CN=test-ca');
  return {
    caFile: join(folder, 'ca.pem'),
    issue: async (name, ...names) => {
      await openssl('req', ...newKey, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
      const extensions = [
        'basicConstraints=CA:FALSE',
        `extendedKeyUsage=${names.length > 0 ? 'serverAuth' : 'clientAuth'}`,
        ...(names.length > 0 ? [`subjectAltName=${names.join(',')}`] : []),
      ];
      await writeFile(join(folder, `${name}.ext`), extensions.join('\n'));
      const signing = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', `${name}.ext`];
      await openssl('x509', '-req', '-in', `${name}.csr`, '-out', `${name}.pem`, ...signing);
      return { certFile: join(folder, `${name}.pem`), keyFile: join(folder, `${name}.key`) };
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}
