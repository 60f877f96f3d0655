export * from './connect.ts';
export * from './consume.ts';
export * from './provision.ts';
export * from './publish.ts';
