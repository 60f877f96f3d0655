export * from './application.ts';
export * from './dead-letter.ts';
export * from './events.ts';
export * from './money.ts';
export * from './nats-permissions.ts';
export * from './pipeline.ts';
export * from './refusal.ts';
export * from './viewer.ts';
