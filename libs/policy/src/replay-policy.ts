import { once } from 'node:events';
import type { DecisionOutcome } from '@prequal/schema';
import { faultFinding } from './check/trial.ts';
import { openEvaluator } from './evaluator.ts';
import { loadPolicy } from './load-policy.ts';
import { InvalidPolicyError, PolicyFaultError, type PolicyInput } from './verdict.ts';

// Enough to keep the engine's threads busy, and few enough to leave others a turn between.
const inputsAtOnce = 250;

/**
 * What a document decides on each of these inputs, in their order; asked in a process of its own with low priority,
 * about 100 µs each. Throws `InvalidPolicyError` for a document that cannot be read, or that gives no verdict for one
 * of them; `EvaluatorAwayError`.
 */
export async function replayPolicy(
  { document, inputs }: { document: string; inputs: readonly PolicyInput[] },
  timeoutMs: number,
): Promise<DecisionOutcome[]> {
  const { hash } = loadPolicy(document);
  // Twice no answer, of many and then of one, and there is still time to say of which.
  const limits = { limitMs: timeoutMs / 3, maxItems: inputsAtOnce, atOnce: inputsAtOnce, niceness: 5 };
  await using evaluator = openEvaluator(limits);
  const outcomes = inputs.map(async (input) => {
    try {
      return (await evaluator.evaluate({ hash, document }, input)).outcome;
    } catch (error) {
      throw error instanceof PolicyFaultError ? new InvalidPolicyError([faultFinding(input, error)]) : error;
    }
  });
  const late = once(AbortSignal.timeout(timeoutMs), 'abort').then(() => {
    const message = `The document did not decide on all of them within ${timeoutMs / 1_000} s.`;
    throw new InvalidPolicyError([{ kind: 'UNFINISHED', message, examples: [] }]);
  });
  return await Promise.race([Promise.all(outcomes), late]);
}
