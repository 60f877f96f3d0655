export * from './connect.ts';
export * from './consume.ts';
export type { DeadLetter } from './dead-letter.ts';
export { eraseMessages } from './erase-messages.ts';
export { UnknownApplicationError } from './failures.ts';
export { keepProvisioned, type ProvisionOptions, provision } from './provision.ts';
export * from './publish.ts';
