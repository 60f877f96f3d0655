export * from './database.ts';
export * from './entities.ts';
export * from './errors.ts';
export * from './migrate.ts';
export * from './relay.ts';
