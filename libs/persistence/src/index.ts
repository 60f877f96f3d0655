export * from './database.ts';
export * from './database-users.ts';
export * from './dead-letters.ts';
export * from './entities.ts';
export * from './errors.ts';
export * from './migrate.ts';
export * from './reconciler.ts';
export * from './relay.ts';
