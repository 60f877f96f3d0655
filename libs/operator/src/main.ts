import { ConfigError } from '@prequal/service';
import { openOperatorsDatabase } from './database.ts';
import { deadLetters, usage } from './dead-letters.ts';
import { UsageError } from './usage-error.ts';

/** `npm run dead-letters -- …`: exits 1 when something did not work, 2 when the command was not understood. */
try {
  const args = process.argv.slice(2);
  if (args.length === 0 || args.includes('--help')) {
    console.log(usage);
  } else {
    await using database = await openOperatorsDatabase(process.env);
    if (!(await deadLetters(database, args, (line) => console.log(line)))) process.exitCode = 1;
  }
} catch (error) {
  if (error instanceof UsageError) console.error(`${error.message}\n\n${usage}`);
  else console.error(error instanceof ConfigError ? error.message : error);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
