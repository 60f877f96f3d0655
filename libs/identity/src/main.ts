import { tokenFor, UsageError, usage } from './token.ts';

/** `npm run token -- --sub alice`: a token and nothing else on standard output; exits 2 when not understood. */
const args = process.argv.slice(2);
if (args.includes('--help')) {
  console.log(usage);
} else {
  try {
    console.log(await tokenFor(args, process.env));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\n\n${usage}`);
    process.exitCode = 2;
  }
}
