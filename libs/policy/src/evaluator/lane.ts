import { setTimeout as delay } from 'node:timers/promises';
import { backoffMs } from '@prequal/service';
import { type Aside, startAside } from '../aside.ts';
import type { Finding, PolicyInput, Verdict } from '../verdict.ts';

/** A document and its `policyHash`. */
export type PolicyDocument = { hash: string; document: string };

/** What the process is told. */
export type Asked = {
  /** those that it does not know yet, by hash */
  documents: Record<string, string>;
  questions: Question[];
  /** how many of them are evaluated at once, in their order */
  atOnce: number;
};
export type Question = { hash: string; input: PolicyInput };
export type Answer = { verdict: Verdict } | { fault: Pick<Finding, 'kind' | 'message'> };
/** What it says: answers as they come, with the places of their questions. */
export type Said = 'ready' | [place: number, answer: Answer][];

/** Why there is no answer. */
export type Unanswered = 'ended' | 'too late';

/** The process that evaluates could not be started, or is not there any more: worth another try later. */
export class EvaluatorAwayError extends Error {
  override readonly name = 'EvaluatorAwayError';
}

export type LaneOptions = {
  /** how long no answer may come, milliseconds; then the process is ended */
  limitMs: number;
  /** longest wait before the process is started again after it was ended time after time, milliseconds */
  restartMaxMs: number;
  /** of its process, as in `nice` */
  niceness: number;
};

export type Lane = Disposable & {
  /**
   * One call at a time. So many are evaluated at once: with one, the first that is not answered in time is the one that
   * does not end. Throws `EvaluatorAwayError`.
   */
  ask: (asked: readonly (PolicyDocument & Question)[], atOnce: number) => Promise<(Answer | Unanswered)[]>;
};

const startLimitMs = 10_000;
/** for a document that the process has not read yet, besides */
const readLimitMs = 700;

/** One process that evaluates: started at the first question, kept, and ended when it does not answer in time. */
export function openLane({ limitMs, restartMaxMs, niceness }: LaneOptions): Lane {
  const disposed = new AbortController();
  let running: { aside: Aside; knows: Set<string> } | undefined;
  let endedInARow = 0;

  async function start() {
    if (endedInARow > 1) {
      const waitMs = backoffMs(endedInARow - 1, { baseMs: 100, maxMs: restartMaxMs });
      await delay(waitMs, undefined, { signal: disposed.signal }).catch(() => undefined);
    }
    disposed.signal.throwIfAborted();
    const aside = startAside('evaluator/main.ts', [String(niceness)]);
    const started = { aside, knows: new Set<string>() };
    running = started;
    // Also while nobody asks: the next question is for a new one.
    void aside.ended.then(() => {
      if (running === started) running = undefined;
    });
    const isReady = (said: unknown) => (said as Said) === 'ready';
    if ((await aside.ask(undefined, { firstMs: startLimitMs }, isReady)) === 'enough') return started;
    end();
    throw new EvaluatorAwayError('the process that evaluates policies could not be started');
  }

  function end(): void {
    running?.aside[Symbol.dispose]();
    running = undefined;
    endedInARow += 1;
  }

  return {
    ask: async (asked, atOnce) => {
      const { aside, knows } = running ?? (await start());
      const unknown = asked.filter(({ hash }) => !knows.has(hash));
      const documents = Object.fromEntries(unknown.map(({ hash, document }) => [hash, document]));
      const questions = asked.map(({ hash, input }) => ({ hash, input }));
      const answers = new Map<number, Answer>();
      const patience = { firstMs: unknown.length > 0 ? limitMs + readLimitMs : limitMs, thenMs: limitMs };
      const heard = await aside.ask({ documents, questions, atOnce } satisfies Asked, patience, (said) => {
        for (const [place, answer] of said as Exclude<Said, 'ready'>) answers.set(place, answer);
        return answers.size === asked.length;
      });
      disposed.signal.throwIfAborted();
      if (answers.size > 0) endedInARow = 0;
      if (heard === 'enough') {
        for (const { hash } of unknown) knows.add(hash);
        return [...asked.keys()].map((place) => answers.get(place) ?? 'ended');
      }
      end();
      return [...asked.keys()].map((place) => answers.get(place) ?? heard);
    },
    [Symbol.dispose]: () => {
      disposed.abort(new EvaluatorAwayError('the evaluator is closed'));
      end();
    },
  };
}
