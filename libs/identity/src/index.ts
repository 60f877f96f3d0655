export * from './development-issuer.ts';
