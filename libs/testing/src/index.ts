export * from './certificates.ts';
export * from './client.ts';
export * from './database.ts';
export * from './fixtures.ts';
export * from './issuer.ts';
export * from './log.ts';
export * from './nats.ts';
export * from './nats-cluster.ts';
