import { once } from 'node:events';
import { setPriority } from 'node:os';
import type { CheckAnswer, CheckRequest } from '../check-policy.ts';
import { tryPolicy } from './try-policy.ts';

/** The process of one check, started by `checkPolicy`: it gets a document, answers with the findings, and is ended. */
setPriority(10);
process.once('disconnect', () => process.exit());
const [{ document, options }] = (await once(process, 'message')) as [CheckRequest];
process.send?.({ findings: await tryPolicy(document, options) } satisfies CheckAnswer);
