export * from './check-policy.ts';
export * from './load-policy.ts';
export { policyLimits } from './parse-document.ts';
export * from './policy-hash.ts';
export * from './shipped.ts';
export * from './verdict.ts';
