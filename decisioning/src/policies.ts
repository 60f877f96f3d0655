import { type Database, type ShadowVerdict, sql } from '@prequal/persistence';
import {
  type EvaluatorOptions,
  openEvaluator,
  type PolicyDocument,
  PolicyFaultError,
  type PolicyInput,
  policyHash,
  type Verdict,
} from '@prequal/policy';
import { type Logger, OverloadedError } from '@prequal/service';

/** A stored version, as a decision names it. */
type PolicyName = { version: string; hash: string };

/** Which policies there are in the moment that applications are read: one that decides, and perhaps one beside it. */
export type ChosenPolicies = { ACTIVE: PolicyName; SHADOW?: PolicyName };

export type Policies = AsyncDisposable & {
  /** Throws `PolicyFaultError` when the document gives no verdict. */
  decide: (policy: PolicyName, input: PolicyInput) => Promise<Verdict>;
  /** What the shadow policy says, or why it does not; never throws, and never takes long. */
  shadow: (policy: PolicyName, input: PolicyInput) => Promise<ShadowVerdict>;
  /** Waits no longer for what the policy does not answer soon: a stop is under way. */
  stopWaiting: () => void;
  /** Reads the policies of this moment, and starts what evaluates them, so that the first decisions need not wait. */
  warmUp: () => Promise<void>;
};

/** The policy that decides. What it takes longer for is asked by itself, and nobody waits for it. */
const deciding = { limitMs: 250, aloneMs: 1_000, maxItems: 256 } satisfies EvaluatorOptions;
/** The one beside it: asked about what it can answer soon, and not at all for a while after it went on for ever. */
const besides = {
  limitMs: 1_000,
  maxItems: 256,
  maxWaiting: 1_024,
  restartMaxMs: 60_000,
} satisfies EvaluatorOptions;
/** of what is stored beside each decision */
const maxErrorChars = 500;
/** A verdict takes about a fifth of a millisecond. */
const shadowWaitMs = 100;

/**
 * The policies that are stored, by their hash: a document never changes, so each is read once. Which of them decides
 * is not remembered here. It is read together with the applications (`chosenPolicies`), in the same moment: so a change
 * takes effect with the next batch of every worker, and each decision is made by one version. The one that decides and
 * the one beside it are evaluated in a process each, so that nothing the second does reaches the first.
 */
export function createPolicies(database: Database, log: Logger): Policies {
  const documents = new Map<string, Promise<PolicyDocument>>();
  const active = openEvaluator(deciding);
  const beside = openEvaluator(besides);
  /** verdicts of the shadow policy that nobody waits for any more, and that still hold up its process */
  let late = 0;

  async function read({ version, hash }: PolicyName): Promise<PolicyDocument> {
    const { rows } = await sql<{ document: string }>`
      select document from policies where version = ${version}`.execute(database.sql());
    const document = rows[0]?.document ?? '';
    if (policyHash(document) !== hash) throw new Error(`the document of policy ${version} does not have its hash`);
    return { hash, document };
  }

  function known(name: PolicyName): Promise<PolicyDocument> {
    const before = documents.get(name.hash);
    if (before) return before;
    const document = read(name);
    documents.set(name.hash, document);
    // What could not be read now may be there the next time.
    document.catch(() => documents.delete(name.hash));
    return document;
  }

  /** Never rejects: what went wrong here is nothing of the policy's, and not for its analyst. */
  async function verdictBeside(name: PolicyName, input: PolicyInput): Promise<Verdict | { error: string }> {
    try {
      return await beside.evaluate(await known(name), input);
    } catch (error) {
      if (error instanceof PolicyFaultError) return { error: error.message.slice(0, maxErrorChars) };
      if (error instanceof OverloadedError) return { error: 'It was not asked: too many others waited for it.' };
      log.warn({ err: error, policyVersion: name.version }, 'shadow policy not asked');
      return { error: 'It could not be asked.' };
    }
  }

  async function soon(name: PolicyName, input: PolicyInput): Promise<Verdict | { error: string }> {
    const verdict = verdictBeside(name, input);
    const limit = Promise.withResolvers<undefined>();
    // A timer and no delay with a signal: what an abort throws would cost more than the verdict.
    const timer = setTimeout(limit.resolve, shadowWaitMs, undefined);
    const said = await Promise.race([verdict, limit.promise]);
    clearTimeout(timer);
    if (said) return said;
    late += 1;
    void verdict.finally(() => (late -= 1));
    return { error: `It gave no verdict within ${shadowWaitMs} ms.` };
  }

  return {
    warmUp: async () => {
      const { rows } = await sql<{ policies: Partial<ChosenPolicies> }>`select ${chosenPolicies()} as policies`.execute(
        database.sql(),
      );
      const { ACTIVE, SHADOW } = rows[0]?.policies ?? {};
      await Promise.all([
        // Whatever it says: now it is there.
        ACTIVE && active.evaluate(await known(ACTIVE), nobody).catch(() => undefined),
        SHADOW && verdictBeside(SHADOW, nobody),
      ]);
    },
    decide: async (name, input) => {
      try {
        return await active.evaluate(await known(name), input);
      } catch (error) {
        if (!(error instanceof PolicyFaultError)) throw error;
        // Its message may quote what the document made of somebody's figures, and this one goes to the log.
        throw new PolicyFaultError(error.kind, `policy ${name.version} gives no verdict: ${error.kind}`);
      }
    },
    stopWaiting: active.stopWaiting,
    shadow: async (name, input) => {
      const said =
        late > 0
          ? { error: 'It was not asked: it was still busy with an earlier application.' }
          : await soon(name, input);
      return { ...name, ...said };
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([active[Symbol.asyncDispose](), beside[Symbol.asyncDispose]()]);
    },
  };
}

/** An application that nobody submitted. */
const nobody: PolicyInput = { score: null, monthlyIncomePaise: 1, loanAmountPaise: 1, loanType: 'PERSONAL' };

/** `ChosenPolicies`, for a query to read along. */
export function chosenPolicies() {
  return sql<ChosenPolicies>`(
    select jsonb_object_agg(mode, jsonb_build_object('version', p.version, 'hash', p.hash)) from policies p
    where mode in ('ACTIVE', 'SHADOW'))`;
}
