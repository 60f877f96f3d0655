import { setTimeout as delay } from 'node:timers/promises';
import { type BatchLimits, backoffMs, inBatches, isolatingBadItems } from '@prequal/service';
import { type Aside, startAside } from './aside.ts';
import { type FindingKind, PolicyFaultError, type PolicyInput, type Verdict } from './verdict.ts';

/** A document and its `policyHash`. */
export type PolicyDocument = { hash: string; document: string };

export type Evaluator = AsyncDisposable & {
  /**
   * What a policy says about an input; about 40 µs each when many are asked at once. Throws `PolicyFaultError` when
   * the document gives no verdict, or not in time; `EvaluatorAwayError`; `OverloadedError` beyond the limits.
   */
  evaluate: (policy: PolicyDocument, input: PolicyInput) => Promise<Verdict>;
};

export type EvaluatorOptions = Pick<BatchLimits, 'maxWaiting' | 'maxWaitMs'> & {
  /** how long the inputs that were asked together may take, milliseconds; then the process is ended */
  limitMs: number;
  /** When they take too long together: asks about each by itself, so that one does not fail the others. */
  isolates: boolean;
  /** most inputs asked together */
  maxItems: number;
  /** longest wait before the process is started again after it was ended time after time, milliseconds */
  restartMaxMs?: number;
  /** of its process, as in `nice` */
  niceness?: number;
};

/** The process that evaluates could not be started: nobody's fault who asks, and worth another try. */
export class EvaluatorAwayError extends Error {
  override readonly name = 'EvaluatorAwayError';
}

/** What the process is told, and what it answers, in the order of the questions. */
export type Asked = {
  /** those that it does not know yet, by hash */
  documents: Record<string, string>;
  questions: Question[];
};
export type Question = { hash: string; input: PolicyInput };
export type Answer = { verdict: Verdict } | { fault: { kind: FindingKind; message: string } };

const startLimitMs = 10_000;

/**
 * Evaluates policies in a process of its own, which is started at the first question and kept: what a document does
 * there, such as to run for ever or to fill the memory, costs its asker the limit and nobody else anything.
 */
export function openEvaluator(options: EvaluatorOptions): Evaluator {
  const { limitMs, isolates, restartMaxMs = 1_000, niceness = 0 } = options;
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
    running = { aside, knows: new Set() };
    if (typeof (await aside.ask(null, startLimitMs)) === 'object') return running;
    end();
    throw new EvaluatorAwayError('the process that evaluates policies could not be started');
  }

  function end(): void {
    running?.aside[Symbol.dispose]();
    running = undefined;
    endedInARow += 1;
  }

  async function ask(asked: readonly (PolicyDocument & Question)[]): Promise<(Verdict | PolicyFaultError)[]> {
    const { aside, knows } = running ?? (await start());
    const unknown = asked.filter(({ hash }) => !knows.has(hash));
    const documents = Object.fromEntries(unknown.map(({ hash, document }) => [hash, document]));
    const questions = asked.map(({ hash, input }) => ({ hash, input }));
    const replied = await aside.ask({ documents, questions } satisfies Asked, limitMs);
    if (typeof replied === 'string') {
      end();
      const what = replied === 'ended' ? 'ends the process of the engine' : `gives no verdict within ${limitMs} ms`;
      throw new PolicyFaultError('UNFINISHED', `The document ${what}.`);
    }
    endedInARow = 0;
    for (const { hash } of unknown) knows.add(hash);
    return (replied.answer as Answer[]).map((answer) =>
      'verdict' in answer ? answer.verdict : new PolicyFaultError(answer.fault.kind, answer.fault.message),
    );
  }

  const asking = inBatches<PolicyDocument & Question, Verdict>(
    isolates ? isolatingBadItems(ask, (error) => !(error instanceof PolicyFaultError)) : ask,
    { ...options, maxConcurrent: 1 },
  );
  return {
    evaluate: (policy, input) => asking({ ...policy, input }),
    [Symbol.asyncDispose]: async () => {
      disposed.abort(new EvaluatorAwayError('the evaluator is closed'));
      end();
    },
  };
}
