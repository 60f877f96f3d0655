import { ConfigError, databaseConfig, readConfig } from '@prequal/service';
import { migrate, migrateDown } from './migrate.ts';

/** `npm run migrate` and `npm run migrate:down`: the schema of DATABASE_URL, one step back with the word `down`. */
const direction = process.argv[2] === 'down' ? 'down' : 'up';
try {
  const { DATABASE_URL } = readConfig(databaseConfig, process.env);
  const names = await (direction === 'up' ? migrate : migrateDown)({ databaseUrl: DATABASE_URL });
  console.log(
    names.length === 0 ? 'Nothing to do.' : `${direction === 'up' ? 'Applied' : 'Took back'}: ${names.join(', ')}`,
  );
} catch (error) {
  console.error(error instanceof ConfigError ? error.message : error);
  process.exitCode = 1;
}
