import { setTimeout as delay } from 'node:timers/promises';
import { type Database, isDatabaseAway, type ShadowVerdict, storeShadowVerdicts } from '@prequal/persistence';
import { type EvaluatorOptions, openEvaluator, PolicyFaultError, type PolicyInput } from '@prequal/policy';
import type { DecisionOutcome } from '@prequal/schema';
import { inBatches, isolatingBadItems, type Logger } from '@prequal/service';
import { nobody } from './policies.ts';
import type { PolicyName, ReadDocument } from './policy-documents.ts';

/** A decision that is recorded, and what it was made on. */
type Comparable = {
  applicationId: string;
  /** of the application after the decision */
  version: number;
  outcome: DecisionOutcome;
  input: PolicyInput;
  /** a test of the system itself, which is left out of figures */
  synthetic: boolean;
};

/** The same outcome, another, none because the document is at fault; or it was not asked, or its verdict not stored. */
export type Comparison = 'same' | 'other' | 'failed' | 'unasked';

export type Shadow = AsyncDisposable & {
  /** Asks the policy soon and records what it says; whoever decided need not wait. Never throws. */
  compare: (policy: PolicyName, decided: Comparable) => void;
  /** Starts what evaluates it. Throws when the policy cannot be read. */
  warmUp: (policy: PolicyName) => Promise<void>;
};

export type ShadowOptions = {
  database: Database;
  read: ReadDocument;
  log: Logger;
  count: (comparison: Comparison) => void;
  /** decisions that may wait to be compared; of one more the policy is not asked. Default: 4,096 */
  maxWaiting?: number;
  /** what is not answered within is given up, milliseconds. Default: 5 s */
  answerLimitMs?: number;
};

/** Behind all that decides. After it went on for ever its process comes back later and later. */
const evaluating = {
  limitMs: 1_000,
  maxItems: 256,
  restartMaxMs: 60_000,
  niceness: 5,
} satisfies EvaluatorOptions;
/** Nobody waits for it: a moment gathers many, and each costs a fraction then. */
const gathering = { maxItems: 256, maxConcurrent: 1, lingerMs: 500 };
/** of what is stored beside each decision */
const maxErrorChars = 500;
/** After an answer was given up the policy is left alone for a while: a document seldom has only a few such inputs. */
const restMs = 60_000;
/** how long a stop waits for what was decided before it */
const stopLimitMs = 2_000;

/**
 * Asks the policy beside the one that decides what it would have said, after the decision is recorded and in a process
 * of its own: so nothing that it does reaches an applicant. What waits when this process dies is not recorded; the
 * decisions keep the evidence from which it can be asked again (`replayPolicy`).
 */
export function createShadow(options: ShadowOptions): Shadow {
  const { database, read, log, count, maxWaiting = 4_096, answerLimitMs = 5_000 } = options;
  let evaluator = openEvaluator(evaluating);
  const underWay = new Set<Promise<void>>();
  /** until when policies are left alone, by hash */
  const resting = new Map<string, number>();

  const record = inBatches(
    isolatingBadItems(async (asked: readonly Asked[]) => {
      const said = await verdictsOn(asked);
      const verdicts = said.filter((one): one is ShadowVerdict => !(one instanceof Error));
      try {
        await storeShadowVerdicts(database, verdicts);
      } catch (error) {
        log.warn({ err: error, found: verdicts.length }, 'verdicts of the shadow policy not stored');
        throw error;
      }
      return said;
    }, isDatabaseAway),
    { ...gathering, maxWaiting },
  );

  async function verdictsOn(asked: readonly Asked[]): Promise<(ShadowVerdict | Error)[]> {
    const waiting = new Set(asked);
    const limit = setTimeout(() => giveUp(waiting), answerLimitMs);
    const said = await Promise.all(asked.map((one) => verdictOn(one).finally(() => waiting.delete(one))));
    clearTimeout(limit);
    return said;
  }

  /** All of them are told that there will be no answer; the next ones are asked in a process of their own. */
  function giveUp(waiting: ReadonlySet<Asked>): void {
    // They are asked in their order: the others wait for this one, perhaps of another policy.
    const [first] = waiting;
    if (first) resting.set(first.policy.hash, performance.now() + restMs);
    const given = evaluator;
    evaluator = openEvaluator(evaluating);
    void given[Symbol.asyncDispose]();
  }

  async function verdictOn({ policy, applicationId, version, input }: Asked): Promise<ShadowVerdict | Error> {
    const about = { applicationId, version, policy };
    if (performance.now() < (resting.get(policy.hash) ?? 0))
      return new Error('a policy that is left alone for a while');
    resting.delete(policy.hash);
    try {
      return { ...about, ...(await evaluator.evaluate(await read(policy), input)) };
    } catch (error) {
      if (error instanceof PolicyFaultError) return { ...about, error: error.message.slice(0, maxErrorChars) };
      return error instanceof Error ? error : new Error('not an Error');
    }
  }

  async function compare(asked: Asked): Promise<void> {
    let comparison: Comparison = 'unasked';
    try {
      comparison = compared(asked.outcome, await record(asked));
    } catch (error) {
      // The counter tells how many; an outage would write a line for each.
      log.debug({ err: error, policyVersion: asked.policy.version }, 'shadow policy not asked');
    }
    if (!asked.synthetic) count(comparison);
  }

  return {
    compare: (policy, decided) => {
      const comparing = compare({ ...decided, policy });
      underWay.add(comparing);
      void comparing.finally(() => underWay.delete(comparing));
    },
    warmUp: async (policy) => void (await evaluator.evaluate(await read(policy), nobody).catch(() => undefined)),
    [Symbol.asyncDispose]: async () => {
      const all = Promise.all(underWay);
      await Promise.race([all, delay(stopLimitMs, undefined, { ref: false })]);
      // Whoever is still not answered is not asked any more.
      await evaluator[Symbol.asyncDispose]();
      await all;
    },
  };
}

type Asked = Comparable & { policy: PolicyName };

function compared(outcome: DecisionOutcome, verdict: ShadowVerdict): Comparison {
  if ('error' in verdict) return 'failed';
  return verdict.outcome === outcome ? 'same' : 'other';
}
