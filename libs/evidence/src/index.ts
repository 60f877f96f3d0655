export * from './evidence-file.ts';
export * from './verify-evidence.ts';
export * from './with-shipped-policies.ts';
