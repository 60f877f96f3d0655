import { type BatchLimits, inBatches } from '@prequal/service';
import {
  type Answer,
  EvaluatorAwayError,
  type LaneOptions,
  openLane,
  type PolicyDocument,
  type Question,
  type Unanswered,
} from './evaluator/lane.ts';
import { PolicyFaultError, type PolicyInput, type Verdict } from './verdict.ts';

export { EvaluatorAwayError, type PolicyDocument } from './evaluator/lane.ts';

export type Evaluator = AsyncDisposable & {
  /**
   * What a policy says about an input; a tenth of a millisecond each. Throws `PolicyFaultError` when
   * the document gives no verdict, or not in time; `EvaluatorAwayError`; `OverloadedError` beyond the limits.
   */
  evaluate: (policy: PolicyDocument, input: PolicyInput) => Promise<Verdict>;
  /** From now on nothing is asked alone: who waits for that gets an `EvaluatorAwayError`. */
  stopWaiting: () => void;
};

export type EvaluatorOptions = Pick<BatchLimits, 'maxItems' | 'maxWaiting' | 'maxWaitMs'> &
  Pick<LaneOptions, 'limitMs'> &
  Partial<LaneOptions> & {
    /**
     * With it, one that did not end in time is asked again by itself, in another process, and may take this long: so
     * none is blamed for a busy machine, and nobody waits for it.
     */
    aloneMs?: number;
    /** Most that are evaluated at once, which takes less time for each; fewer when together they could take too long. */
    atOnce?: number;
  };

type Asked = PolicyDocument & Question;

/** most that wait to be asked by themselves */
const maxAlone = 500;
/** After one that did not end they are asked one after the other for as long: a document seldom has only one such input. */
const carefulMs = 60_000;
/** What did not end is not asked again for a while, nor are too many of these remembered. */
const remembered = { forMs: 10 * 60_000, max: 1_000 };

/**
 * Evaluates policies in processes of its own: what a document does there, such as to run for ever or to fill the
 * memory, costs the others a moment.
 */
export function openEvaluator(options: EvaluatorOptions): Evaluator {
  const { limitMs, aloneMs, restartMaxMs = 1_000, atOnce = 16, niceness = 0 } = options;
  const together = openLane({ limitMs, restartMaxMs, niceness });
  const alone = openLane({ limitMs: aloneMs ?? limitMs, restartMaxMs, niceness });
  /** inputs on which a document did not end, with the time until which that is remembered */
  const endless = new Map<string, number>();
  let carefulUntil = 0;
  /** how long each of the last ones took; nobody knows at first */
  let eachMs = Number.POSITIVE_INFINITY;
  let isStopping = false;

  const askTogether: (one: Asked) => Promise<Verdict> = inBatches<Asked, Verdict>(
    async (asked) => {
      const begunAt = performance.now();
      // Those that are evaluated at once may all be answered at their end.
      const oneByOne = asked.length === 1 || begunAt < carefulUntil || eachMs * atOnce > limitMs / 2;
      const answers = await together.ask(asked, oneByOne ? 1 : atOnce);
      eachMs = (performance.now() - begunAt) / asked.length;
      const stuck = answers.findIndex((answer) => typeof answer === 'string');
      if (stuck >= 0) carefulUntil = performance.now() + carefulMs;
      return asked.map((one, place) => {
        const answer = answers[place];
        if (answer !== undefined && typeof answer !== 'string') return resultOf(answer);
        // Asked one after the other, the first without an answer is the one that did not end.
        if (!oneByOne || place > stuck) return askTogether(one);
        return aloneMs === undefined ? blame(one, answer ?? 'ended', limitMs) : askAlone(one);
      });
    },
    { ...options, maxConcurrent: 1 },
  );

  const askAlone = inBatches<Asked, Verdict>(
    async ([one]) => {
      if (!one) return [];
      if (isStopping) throw new EvaluatorAwayError('the evaluator stops');
      const [first = 'ended'] = await alone.ask([one], 1);
      // It may have been ended from outside.
      const [answer = 'ended'] = first === 'ended' ? await alone.ask([one], 1) : [first];
      return [typeof answer === 'string' ? blame(one, answer, aloneMs ?? limitMs) : resultOf(answer)];
    },
    { maxItems: 1, maxConcurrent: 1, maxWaiting: maxAlone },
  );

  function blame(one: Asked, why: Unanswered, withinMs: number): PolicyFaultError {
    if (endless.size < remembered.max) endless.set(keyOf(one), performance.now() + remembered.forMs);
    return unfinished(why, withinMs);
  }

  function isEndless(asked: Asked): boolean {
    if (endless.size === 0) return false;
    const until = endless.get(keyOf(asked));
    if (until !== undefined && until >= performance.now()) return true;
    for (const [key, time] of endless) if (time < performance.now()) endless.delete(key);
    return false;
  }

  return {
    evaluate: async (policy, input) => {
      const asked = { ...policy, input };
      if (isEndless(asked)) throw unfinished('too late', aloneMs ?? limitMs);
      return askTogether(asked);
    },
    stopWaiting: () => {
      isStopping = true;
      alone[Symbol.dispose]();
    },
    [Symbol.asyncDispose]: async () => {
      together[Symbol.dispose]();
      alone[Symbol.dispose]();
    },
  };
}

function keyOf({ hash, input }: Question): string {
  return `${hash} ${JSON.stringify(input)}`;
}

function resultOf(answer: Answer): Verdict | PolicyFaultError {
  return 'verdict' in answer ? answer.verdict : new PolicyFaultError(answer.fault.kind, answer.fault.message);
}

function unfinished(why: Unanswered, limitMs: number): PolicyFaultError {
  const what = why === 'ended' ? 'ends the process of the engine' : `gives no verdict within ${limitMs} ms`;
  return new PolicyFaultError('UNFINISHED', `The document ${what}.`);
}
