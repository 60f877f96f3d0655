import { ConfigError, databaseTls, migrateConfig, readConfig, tlsRules } from '@prequal/service';
import { ensureDatabaseUsers } from './database-users.ts';
import { migrate, migrateDown } from './migrate.ts';

/**
 * `npm run migrate` and `npm run migrate:down`: the schema of DATABASE_URL, one step back with the word `down`.
 * On the way up also the users that GATEWAY_DATABASE_URL and the like name.
 */
const direction = process.argv[2] === 'down' ? 'down' : 'up';
try {
  const config = readConfig(migrateConfig, process.env, tlsRules('DATABASE'));
  const databaseUrl = config.DATABASE_URL;
  const tls = databaseTls(config);
  const users = Object.entries({
    gateway: config.GATEWAY_DATABASE_URL,
    decisioning: config.DECISIONING_DATABASE_URL,
    operator: config.OPERATOR_DATABASE_URL,
    reader: config.READER_DATABASE_URL,
  }).filter(([, url]) => url !== undefined);
  if (direction === 'up') await ensureDatabaseUsers(databaseUrl, Object.fromEntries(users), tls);
  const names = await (direction === 'up' ? migrate : migrateDown)({ databaseUrl, tls });
  console.log(
    names.length === 0 ? 'Nothing to do.' : `${direction === 'up' ? 'Applied' : 'Took back'}: ${names.join(', ')}`,
  );
} catch (error) {
  console.error(error instanceof ConfigError ? error.message : error);
  process.exitCode = 1;
}
