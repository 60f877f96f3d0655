import path from 'node:path';
import { keyRing, withDevelopmentKeys } from '@prequal/pan';
import { ConfigError, readConfig } from '@prequal/service';
import { openOperatorsDatabase } from '../database.ts';
import { rotateAllKeys } from '../rotate-keys.ts';

const repoRoot = path.resolve(import.meta.dirname, '../../../..');

/** `npm run rotate-keys`: exits 1 when a PAN could not be read. May be stopped and run again at any time. */
try {
  const dataDir = path.resolve(repoRoot, process.env['PREQUAL_DATA_DIR'] || '.data');
  const env = await withDevelopmentKeys({ ...process.env, PREQUAL_DATA_DIR: dataDir });
  const config = readConfig({ PAN_ENCRYPTION_KEYS: keyRing, PAN_INDEX_KEYS: keyRing }, env);
  await using database = await openOperatorsDatabase(process.env);
  const keys = { encryption: config.PAN_ENCRYPTION_KEYS, index: config.PAN_INDEX_KEYS };
  if (!(await rotateAllKeys({ database, keys, say: (line) => console.log(line) }))) process.exitCode = 1;
} catch (error) {
  // Of any other error the message alone: its other properties may repeat a row.
  console.error(error instanceof Error ? error.message : 'a value that is no Error was thrown');
  process.exitCode = error instanceof ConfigError ? 2 : 1;
}
