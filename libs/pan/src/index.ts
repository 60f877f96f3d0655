export * from './encrypt.ts';
export * from './keys.ts';
export * from './lookup.ts';
