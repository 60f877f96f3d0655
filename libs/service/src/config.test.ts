import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { ConfigError, commonConfig, databaseConfig, port, positiveInt, readConfig } from './config.ts';

const shape = {
  ...commonConfig,
  ...databaseConfig,
  HTTP_PORT: port(4000),
  LIMIT_MS: positiveInt(250),
  OPTIONAL: z.string().optional(),
};
const complete = { NATS_URL: 'nats://127.0.0.1:4222', DATABASE_URL: 'postgres://127.0.0.1/prequal' };

function refusalOf(env: NodeJS.ProcessEnv): ConfigError {
  try {
    readConfig(shape, env);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error('the environment was accepted');
}

test('what is not set has its default', () => {
  expect(readConfig(shape, complete)).toEqual({
    ...complete,
    LOG_LEVEL: 'info',
    DATABASE_POOL_MAX: 10,
    HTTP_PORT: 4000,
    LIMIT_MS: 250,
  });
});

test('what is set is read, numbers as numbers', () => {
  const env = { ...complete, LOG_LEVEL: 'debug', DATABASE_POOL_MAX: '3', HTTP_PORT: '0', LIMIT_MS: '1', OPTIONAL: 'x' };
  expect(readConfig(shape, env)).toEqual({ ...env, DATABASE_POOL_MAX: 3, HTTP_PORT: 0, LIMIT_MS: 1 });
});

test('an empty variable counts as absent', () => {
  expect(readConfig(shape, { ...complete, LOG_LEVEL: '', HTTP_PORT: '', LIMIT_MS: '', OPTIONAL: '' })).toEqual(
    readConfig(shape, complete),
  );
  expect(refusalOf({ ...complete, DATABASE_URL: '' }).message).toContain(
    'DATABASE_URL: must name the PostgreSQL database',
  );
});

test('variables that the service does not know are left out', () => {
  expect(readConfig(shape, { ...complete, HOME: '/root' })).not.toHaveProperty('HOME');
});

describe('a wrong variable is refused', () => {
  test.each([
    ['LOG_LEVEL', 'loud'],
    ['HTTP_PORT', '65536'],
    ['HTTP_PORT', '-1'],
    ['HTTP_PORT', '80.5'],
    ['HTTP_PORT', 'http'],
    ['LIMIT_MS', '0'],
    ['LIMIT_MS', '-5'],
    ['LIMIT_MS', '1.5'],
    ['LIMIT_MS', 'Infinity'],
    ['LIMIT_MS', '10s'],
    ['DATABASE_POOL_MAX', 'NaN'],
  ])('%s=%s', (name, value) => {
    const { message } = refusalOf({ ...complete, [name]: value });
    expect(message.split('\n').slice(1)).toEqual([expect.stringMatching(new RegExp(`^  ${name}: .{5,}`))]);
  });
});

test('every wrong variable is named at once, with what it must be', () => {
  const { message } = refusalOf({ LOG_LEVEL: 'loud', HTTP_PORT: 'x', LIMIT_MS: '0' });
  const named = message
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(':')[0]);
  expect(new Set(named)).toEqual(new Set(['DATABASE_URL', 'HTTP_PORT', 'LIMIT_MS', 'LOG_LEVEL', 'NATS_URL']));
  expect(named).toHaveLength(5);
  expect(message).toContain('NATS_URL: must name the NATS servers, e.g. nats://127.0.0.1:4222');
});

test('no refusal repeats a value, which may be a secret', () => {
  const secret = fc.string({ minLength: 1 }).map((text) => `§${text}`);
  const wrong = fc.record({ LOG_LEVEL: secret, HTTP_PORT: secret, LIMIT_MS: secret, DATABASE_POOL_MAX: secret });
  fc.assert(
    fc.property(wrong, secret, (env, password) => {
      const { message, cause } = refusalOf({ ...env, DATABASE_URL: password, NATS_URL: password });
      expect(message).not.toContain('§');
      expect(cause).toBeUndefined();
      expect(message.split('\n')).toHaveLength(1 + 6);
    }),
  );
});

test('a rule about several variables is told together with what is wrong with one', () => {
  const rules = (env: NodeJS.ProcessEnv) => (env['OPTIONAL'] ? {} : { OPTIONAL: 'must be set here' });
  expect(() => readConfig(shape, { ...complete, LOG_LEVEL: 'loud' }, rules)).toThrow(
    /LOG_LEVEL: .*\n {2}OPTIONAL: must be set here$/,
  );
  expect(() => readConfig(shape, complete, rules)).toThrow('OPTIONAL: must be set here');
  expect(readConfig(shape, { ...complete, OPTIONAL: 'x' }, rules)).toMatchObject({ OPTIONAL: 'x' });
});
