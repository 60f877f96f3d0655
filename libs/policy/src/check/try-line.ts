import type { Finding, PolicyInput } from '../verdict.ts';
import type { Line } from './lines.ts';
import { describe, type Evaluate, gist, rank, type Trial, tryInput } from './trial.ts';

/**
 * Tries the values of a line, and wherever what comes out changes from one to the next, searches for the exact
 * value at which it does: a boundary may be worked out, like a forty-eighth, instead of being named.
 */
export async function tryLine(evaluate: Evaluate, { axis, fixed, values }: Line): Promise<Trial[]> {
  const at = (value: number): PolicyInput => ({ ...fixed, [axis]: value });
  const trials = await Promise.all(values.map((value) => tryInput(evaluate, at(value))));
  const steps = trials.slice(1).map((next, index) => ({ from: trials[index] as Trial, to: next }));
  const changes = steps.filter(({ from, to }) => gist(from) !== gist(to));
  const found = await Promise.all(changes.map(({ from, to }) => search(from, to)));
  const valueOf = ({ input }: Trial) => input[axis] ?? 0;
  return [...trials, ...found.flat()].toSorted((one, other) => valueOf(one) - valueOf(other));

  async function search(from: Trial, to: Trial): Promise<Trial[]> {
    let [low, high] = [from, to];
    for (;;) {
      const middle = Math.floor(((low.input[axis] ?? 0) + (high.input[axis] ?? 0)) / 2);
      if (middle === low.input[axis]) return [low, high].filter((trial) => trial !== from && trial !== to);
      const trial = await tryInput(evaluate, at(middle));
      if (gist(trial) === gist(low)) low = trial;
      else high = trial;
    }
  }
}

/** The first step on a line at which more of what is good gives a worse outcome. */
export function judgeLine(axis: Line['axis'], trials: readonly Trial[]): Finding[] {
  const decided = trials.filter((trial) => trial.verdict !== undefined);
  for (const [index, next] of decided.slice(1).entries()) {
    const before = decided[index];
    if (!before || rank[next.verdict.outcome] >= rank[before.verdict.outcome]) continue;
    const better = axis === 'score' ? 'better score' : 'higher income';
    const message = `A ${better} gives a worse outcome: ${describe(before.input)}: ${before.verdict.outcome}; ${describe(next.input)}: ${next.verdict.outcome}.`;
    return [{ kind: 'NOT_MONOTONE', message, examples: [before.input, next.input] }];
  }
  return [];
}
