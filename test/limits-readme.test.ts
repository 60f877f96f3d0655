import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { readConfig } from '@prequal/service';
import { expect, test } from 'vitest';
import { limitsConfig, withDevelopmentLimits } from '../gateway/src/limits-config.ts';

const readme = await readFile(path.join(import.meta.dirname, '../README.md'), 'utf8');
const rows = readme.split('\n').filter((line) => line.startsWith('| `GATEWAY_'));

const asWritten = (value: unknown) => `\`${value === Number.POSITIVE_INFINITY ? 0 : String(value)}\``;

test.for(Object.keys(limitsConfig))('the README has the defaults of %s', (name) => {
  const [, names = '', defaults = ''] = rows.find((row) => row.includes(`\`${name}\``))?.split('|') ?? [];
  const index = names.split(',').findIndex((cell) => cell.includes(`\`${name}\``));
  const production: Record<string, unknown> = readConfig(limitsConfig, { NODE_ENV: 'production' });
  const development: Record<string, unknown> = readConfig(limitsConfig, withDevelopmentLimits({}));
  if (production[name] === undefined) return expect(defaults.trim()).toBe('none');
  const both = [...new Set([asWritten(production[name]), asWritten(development[name])])];
  // One row may name two variables that only make sense together.
  const expected = names.includes(',') ? defaults.split(',')[index]?.trim() : defaults.trim();
  expect(expected).toBe(both.join(', '));
});
