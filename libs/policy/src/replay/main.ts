import { once } from 'node:events';
import { setPriority } from 'node:os';
import type { DecisionOutcome } from '@prequal/schema';
import { faultFinding, tryInput } from '../check/trial.ts';
import { loadPolicy } from '../load-policy.ts';
import type { ReplayAnswer, ReplayRequest } from '../replay-policy.ts';

// Enough to keep the engine's threads busy: one after the other takes five times as long.
const inputsAtOnce = 100;

/** The process of one replay, started by `replayPolicy`: it gets a document and inputs, answers, and is ended. */
setPriority(10);
process.once('disconnect', () => process.exit());
const [{ document, inputs }] = (await once(process, 'message')) as [ReplayRequest];
process.send?.((await replay()) satisfies ReplayAnswer);

async function replay(): Promise<ReplayAnswer> {
  const { evaluate } = loadPolicy(document);
  const outcomes: DecisionOutcome[] = [];
  for (let from = 0; from < inputs.length; from += inputsAtOnce) {
    const some = inputs.slice(from, from + inputsAtOnce);
    for (const trial of await Promise.all(some.map((input) => tryInput(evaluate, input)))) {
      if (trial.fault) return { finding: faultFinding(trial.input, trial.fault) };
      outcomes.push(trial.verdict.outcome);
    }
  }
  return { outcomes };
}
