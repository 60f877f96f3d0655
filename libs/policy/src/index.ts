export * from './check-policy.ts';
export {
  type Evaluator,
  EvaluatorAwayError,
  type EvaluatorOptions,
  openEvaluator,
  type PolicyDocument,
} from './evaluator.ts';
export * from './load-policy.ts';
export { policyLimits } from './parse-document.ts';
export * from './policy-hash.ts';
export * from './policy-input.ts';
export * from './replay-policy.ts';
export * from './shipped.ts';
export * from './verdict.ts';
