import { startAside } from './aside.ts';
import type { TrialOptions } from './check/try-policy.ts';
import { loadPolicy } from './load-policy.ts';
import { type Finding, InvalidPolicyError } from './verdict.ts';

/** What the process of the check is told, and what it answers. */
export type CheckRequest = { document: string; options: TrialOptions };
export type CheckAnswer = { findings: Finding[] };

export type CheckOptions = Partial<TrialOptions> & {
  /** how long the trials may take before the document is refused for that */
  timeoutMs?: number;
};

/**
 * Everything that speaks against making this document the policy; empty when nothing does. It is tried at and
 * around every boundary that its numbers name or its formulas work out, and by a random search that follows from
 * `seed`, so that the same document gets the same answer. Takes seconds of CPU, in a process of its own with low
 * priority: a document that does not end, or ends the engine's process, is a finding like any other.
 */
export async function checkPolicy(document: string, options: CheckOptions = {}): Promise<Finding[]> {
  const { seed = 1, randomTrials = 5_000, timeoutMs = 30_000 } = options;
  try {
    // What can be refused without trials needs no process, nor does a huge document travel to one.
    loadPolicy(document);
  } catch (error) {
    if (error instanceof InvalidPolicyError) return error.findings;
    throw error;
  }
  const request: CheckRequest = { document, options: { seed, randomTrials } };
  using aside = startAside('check/main.ts');
  let answer: CheckAnswer = { findings: [] };
  const heard = await aside.ask(request, { firstMs: timeoutMs }, (said) => {
    answer = said as CheckAnswer;
    return true;
  });
  if (heard === 'enough') return answer.findings;
  if (heard === 'ended') return [unfinished('ends the process of the engine')];
  return [unfinished(`was not tried to the end within ${timeoutMs / 1_000} s; its formulas may run over long lists`)];
}

function unfinished(what: string): Finding {
  return { kind: 'UNFINISHED', message: `The document ${what}.`, examples: [] };
}
