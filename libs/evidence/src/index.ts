export * from './evidence-file.ts';
export * from './verify-evidence.ts';
