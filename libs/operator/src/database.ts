import path from 'node:path';
import { readReadyFile } from '@prequal/local-stack';
import { type Database, openDatabase } from '@prequal/persistence';
import { ConfigError, databaseTls, databaseTlsConfig, databaseUrl, readConfig, tlsRules } from '@prequal/service';

const repoRoot = path.resolve(import.meta.dirname, '../../..');

/**
 * The database an operator means: OPERATOR_DATABASE_URL or DATABASE_URL, else that of the local stack which runs on PREQUAL_DATA_DIR.
 * Throws `ConfigError` when there is neither.
 */
export function openOperatorsDatabase(env: NodeJS.ProcessEnv): Promise<Database> {
  return open(env, env['OPERATOR_DATABASE_URL'], 'prequal-operator');
}

/** The same for an auditor, who only reads: READER_DATABASE_URL first. */
export function openAuditorsDatabase(env: NodeJS.ProcessEnv): Promise<Database> {
  return open(env, env['READER_DATABASE_URL'], 'prequal-audit');
}

async function open(env: NodeJS.ProcessEnv, own: string | undefined, applicationName: string): Promise<Database> {
  const dataDir = path.resolve(repoRoot, env['PREQUAL_DATA_DIR'] || '.data');
  const url = own || env['DATABASE_URL'] || (await readReadyFile(dataDir))?.databaseUrl;
  if (url === undefined) {
    throw new ConfigError('Set DATABASE_URL to the database of Prequal, or start the local stack with npm start.');
  }
  const checked = databaseUrl.safeParse(url);
  if (!checked.success) throw new ConfigError(`DATABASE_URL ${checked.error.issues[0]?.message}`);
  const tls = databaseTls(readConfig(databaseTlsConfig, env, tlsRules('DATABASE')));
  return openDatabase({ databaseUrl: checked.data, tls, poolMax: 2, applicationName });
}
