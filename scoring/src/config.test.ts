import { randomBytes } from 'node:crypto';
import { readConfig } from '@prequal/service';
import { expect, test } from 'vitest';
import { scoringConfig, scoringRules } from './config.ts';

const needed = { NATS_URL: 'nats://127.0.0.1:4222', PAN_ENCRYPTION_KEYS: `a:${randomBytes(32).toString('base64')}` };
const read = (env: Record<string, string>) => readConfig(scoringConfig, { ...needed, ...env });

test.each([
  ['https://bureau.example/', 'https://bureau.example'],
  ['http://127.0.0.1:4010', 'http://127.0.0.1:4010'],
  ['https://bureau.example/sandbox//', 'https://bureau.example/sandbox'],
  ['', undefined],
])('the bureau at %j', (BUREAU_URL, url) => {
  expect(read({ BUREAU_URL }).BUREAU_URL).toBe(url);
});

test.each([
  ['BUREAU_URL', 'https://user:s3cret@bureau.example'],
  ['BUREAU_URL', 'https://bureau.example?key=s3cret'],
  ['BUREAU_URL', 'https://bureau.example#s3cret'],
  ['BUREAU_URL', 'bureau.example/s3cret'],
  ['BUREAU_URL', 'https://s3cret:x:y'],
  ['BUREAU_TOKEN', 's3cret\nx'],
  ['BUREAU_TOKEN', 's3cret ü'],
])('a wrong %s is refused without being repeated: %j', (variable, value) => {
  const wrong = () => read({ [variable]: value });
  expect(wrong).toThrow(new RegExp(`^ {2}${variable}: must be`, 'm'));
  expect(wrong).not.toThrow(/s3cret/);
});

test('in production the sandbox PANs and development keys are refused', () => {
  const start = (env: Record<string, string>) => () => readConfig(scoringConfig, { ...needed, ...env }, scoringRules);
  const development = needed.PAN_ENCRYPTION_KEYS.replace('a:', 'dev-1:');
  expect(start({ NODE_ENV: 'production', SANDBOX_FIXTURES: 'on' })).toThrow(/SANDBOX_FIXTURES: must be off/);
  expect(start({ NODE_ENV: 'production', PAN_ENCRYPTION_KEYS: development })).toThrow(/PAN_ENCRYPTION_KEYS: .*dev-/);
  expect(start({ NODE_ENV: 'production' })).not.toThrow();
  expect(start({ SANDBOX_FIXTURES: 'on', PAN_ENCRYPTION_KEYS: development })).not.toThrow();
});
