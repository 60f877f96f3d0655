import { ConfigError } from '@prequal/service';
import { audit, auditUsage } from '../audit.ts';
import { openAuditorsDatabase } from '../database.ts';
import { UsageError } from '../usage-error.ts';

/** `npm run audit -- …`: exits 1 when something did not work or is not intact, 2 when the command was not understood. */
try {
  const args = process.argv.slice(2);
  if (args.length === 0 || args.includes('--help')) {
    console.log(auditUsage);
  } else {
    const deps = {
      openDatabase: () => openAuditorsDatabase(process.env),
      // Where npm was called, which runs scripts in the repository's folder.
      folder: process.env['INIT_CWD'] || process.cwd(),
      say: (line: string) => console.log(line),
      now: () => new Date(),
    };
    if (!(await audit(deps, args))) process.exitCode = 1;
  }
} catch (error) {
  if (error instanceof UsageError) console.error(`${error.message}\n\n${auditUsage}`);
  // Of any other error the message alone: its other properties may repeat a row.
  else console.error(error instanceof Error ? error.message : 'a value that is no Error was thrown');
  process.exitCode = error instanceof UsageError || error instanceof ConfigError ? 2 : 1;
}
