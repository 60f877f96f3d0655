import { once } from 'node:events';
import { setPriority } from 'node:os';
import type { DecisionOutcome } from '@prequal/schema';
import { loadPolicy } from '../load-policy.ts';
import type { ReplayAnswer, ReplayRequest } from '../replay-policy.ts';
import { PolicyFaultError, type PolicyInput } from '../verdict.ts';

/** The process of one replay, started by `replayPolicy`: it gets a document and inputs, answers, and is ended. */
setPriority(10);
process.once('disconnect', () => process.exit());
const [{ document, inputs }] = (await once(process, 'message')) as [ReplayRequest];
process.send?.((await replay()) satisfies ReplayAnswer);

async function replay(): Promise<ReplayAnswer> {
  const policy = loadPolicy(document);
  const outcomes: DecisionOutcome[] = [];
  for (const input of inputs) {
    const outcome = await policy.evaluate(input).then(
      (verdict) => verdict.outcome,
      (error: unknown) => faultOf(error, input),
    );
    if (typeof outcome === 'object') return outcome;
    outcomes.push(outcome);
  }
  return { outcomes };
}

function faultOf(error: unknown, input: PolicyInput): ReplayAnswer {
  if (!(error instanceof PolicyFaultError)) throw error;
  return { finding: { kind: error.kind, message: error.message, examples: [input] } };
}
