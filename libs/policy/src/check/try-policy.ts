import { isDeepStrictEqual } from 'node:util';
import { expressionsOf, numbersByRow, numbersIn, unreadableExpressions } from '../expressions.ts';
import { loadPolicy } from '../load-policy.ts';
import { parseDocument } from '../parse-document.ts';
import { type Finding, InvalidPolicyError } from '../verdict.ts';
import { boundariesOf } from './boundaries.ts';
import { ignoredIncome } from './income.ts';
import { boundaryLines, type Line, randomLines, rowLines } from './lines.ts';
import { contradictingRows } from './rows.ts';
import { describe, type Evaluate, judgeTrial, type Trial, tryInput } from './trial.ts';
import { judgeLine, tryLine } from './try-line.ts';

export type TrialOptions = { seed: number; randomTrials: number };

/** How many lines are under way at once: enough to keep the engine's threads busy. */
const linesAtOnce = 16;
/** How many trials are repeated at the end, and looked at row by row. */
const repeatedTrials = 2_000;

/** All that `checkPolicy` does, in this process: see there. */
export async function tryPolicy(document: string, { seed, randomTrials }: TrialOptions): Promise<Finding[]> {
  try {
    const jdm = parseDocument(document);
    const { evaluate } = loadPolicy(document);
    const unreadable = await unreadableExpressions(jdm);
    if (unreadable.length > 0) return unreadable;

    const boundaries = boundariesOf(expressionsOf(jdm).flatMap(({ text }) => numbersIn(text)));
    const named = [...boundaryLines(boundaries, seed), ...rowLines(numbersByRow(jdm), seed)];
    const atBoundaries = await tryLines(evaluate, named.values(), Number.POSITIVE_INFINITY);
    const byChance = await tryLines(evaluate, randomLines(boundaries, seed), randomTrials);
    const trials = [...atBoundaries.trials, ...byChance.trials];
    const some = evenly(trials, repeatedTrials);
    const inputsOf = (tried: readonly Trial[]) => tried.map(({ input }) => input);
    return oneOfEach([
      ...atBoundaries.findings,
      ...byChance.findings,
      ...(await ignoredIncome(evaluate)),
      ...(await contradictingRows(jdm, inputsOf(trials), inputsOf(some))),
      ...(await changedVerdicts(evaluate, some)),
    ]);
  } catch (error) {
    if (error instanceof InvalidPolicyError) return error.findings;
    throw error;
  }
}

/** Tries lines until there are no more, or so many trials were made; in rounds, so that the order is always the same. */
async function tryLines(evaluate: Evaluate, lines: Iterator<Line>, maxTrials: number) {
  const trials: Trial[] = [];
  const findings: Finding[] = [];
  while (trials.length < maxTrials) {
    const round = Array.from({ length: linesAtOnce }, () => lines.next()).flatMap(({ value, done }) =>
      done ? [] : [value],
    );
    if (round.length === 0) break;
    const tried = await Promise.all(round.map(async (line) => ({ line, results: await tryLine(evaluate, line) })));
    for (const { line, results } of tried) {
      trials.push(...results);
      findings.push(...results.flatMap(judgeTrial), ...judgeLine(line.axis, results));
    }
  }
  return { trials, findings };
}

/** Inputs whose verdict is another one the second time, down to the sentences. */
async function changedVerdicts(evaluate: Evaluate, trials: readonly Trial[]): Promise<Finding[]> {
  const again = await Promise.all(
    trials.map(async (trial) => ({ trial, second: await tryInput(evaluate, trial.input) })),
  );
  const changed = again.find(({ trial, second }) => !isDeepStrictEqual(trial.verdict, second.verdict));
  if (!changed) return [];
  const [first, second] = [changed.trial, changed.second].map(({ verdict }) => JSON.stringify(verdict ?? 'a fault'));
  const message = `${describe(changed.trial.input)}: the first time ${first}, the second time ${second}.`;
  return [{ kind: 'UNSTABLE', message, examples: [changed.trial.input] }];
}

function evenly<T>(all: readonly T[], count: number): T[] {
  const step = Math.max(1, all.length / count);
  return Array.from({ length: Math.min(all.length, count) }, (_, index) => all[Math.floor(index * step)] as T);
}

/** The first finding of each kind: one example is enough to find the fault, and the next check tells of the next. */
function oneOfEach(findings: readonly Finding[]): Finding[] {
  const kinds = new Map<string, Finding>();
  for (const finding of findings) if (!kinds.has(finding.kind)) kinds.set(finding.kind, finding);
  return [...kinds.values()];
}
