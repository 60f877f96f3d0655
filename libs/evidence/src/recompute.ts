import {
  type Evaluator,
  type EvaluatorOptions,
  InvalidPolicyError,
  PolicyFaultError,
  policyHash,
  policyInputOf,
} from '@prequal/policy';
import { canonical, type Evidence } from '@prequal/schema';
import { type Finding, fault, unless } from './finding.ts';

type Decision = Evidence['decisions'][number];

/** For the evaluator of those who verify. */
export const recomputing = {
  limitMs: 2_000,
  aloneMs: 5_000,
  maxItems: 20,
  maxWaiting: 200,
  maxWaitMs: 10_000,
} satisfies EvaluatorOptions;

/** Asks the policy again that decided, with the inputs that it had, and compares outcome and reasons to the letter. */
export async function recompute(
  decision: Decision,
  policies: Evidence['policies'],
  evaluate: Evaluator['evaluate'],
): Promise<Finding[]> {
  const name = `The decision of version ${decision.version}`;
  const { policyVersion, policyHash: hash } = decision;
  const stored = policies.find((policy) => policy.version === policyVersion && policy.hash === hash);
  if (!stored) {
    return [
      fault(
        `${name} could not be recomputed: the document of policy ${policyVersion} with the hash ${hash} is unknown.`,
      ),
    ];
  }
  const input = policyInputOf(decision);
  if (!input) return [fault(`${name} could not be recomputed: its inputs or the bureau's report are not complete.`)];
  try {
    if (policyHash(stored.document) !== hash) {
      return [fault(`The document of policy ${policyVersion} was changed: it does not have the hash ${hash}.`)];
    }
    const { outcome, reasons } = await evaluate(stored, input);
    return [
      ...unless(outcome === decision.outcome, `${name} is ${decision.outcome}, recomputed it is ${outcome}.`),
      ...unless(
        canonical(reasons) === canonical(decision.reasons),
        `${name} has other reasons than when it is recomputed: ${reasons.map(({ code, message }) => `${code}, "${message}"`).join('; ')}.`,
      ),
    ];
  } catch (error) {
    if (!(error instanceof PolicyFaultError || error instanceof InvalidPolicyError)) throw error;
    return [fault(`${name} could not be recomputed: policy ${policyVersion} gives no verdict. ${error.message}`)];
  }
}
