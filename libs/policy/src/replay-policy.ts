import type { DecisionOutcome } from '@prequal/schema';
import { askAside } from './ask-aside.ts';
import { loadPolicy } from './load-policy.ts';
import { type Finding, InvalidPolicyError, type PolicyInput } from './verdict.ts';

/** What the process of a replay is told, and what it answers. */
export type ReplayRequest = { document: string; inputs: readonly PolicyInput[] };
export type ReplayAnswer = { outcomes: DecisionOutcome[] } | { finding: Finding };

/**
 * What a document decides on each of these inputs, in their order; asked in a process of its own, about 40 µs each.
 * Throws `InvalidPolicyError` for a document that cannot be read, or that gives no verdict for one of them in time.
 */
export async function replayPolicy(request: ReplayRequest, timeoutMs: number): Promise<DecisionOutcome[]> {
  loadPolicy(request.document);
  const replied = await askAside('replay/main.ts', request, timeoutMs);
  if (replied === 'ended') throw unfinished('ends the process of the engine');
  if (replied === 'too late') throw unfinished(`did not decide on all of them within ${timeoutMs / 1_000} s`);
  const answer = replied.answer as ReplayAnswer;
  if ('finding' in answer) throw new InvalidPolicyError([answer.finding]);
  return answer.outcomes;
}

function unfinished(what: string): InvalidPolicyError {
  return new InvalidPolicyError([{ kind: 'UNFINISHED', message: `The document ${what}.`, examples: [] }]);
}
