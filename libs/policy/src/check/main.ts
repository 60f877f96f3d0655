import { once } from 'node:events';
import type { CheckAnswer, CheckRequest } from '../check-policy.ts';
import { confine } from '../confine.ts';
import { tryPolicy } from './try-policy.ts';

/** The process of one check, started by `checkPolicy`: it gets a document, answers with the findings, and is ended. */
confine({ niceness: 10 });
const [{ document, options }] = (await once(process, 'message')) as [CheckRequest];
process.send?.({ findings: await tryPolicy(document, options) } satisfies CheckAnswer);
