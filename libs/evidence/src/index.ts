export * from './evidence-file.ts';
export { recomputing } from './recompute.ts';
export * from './verify-evidence.ts';
