import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';

const root = path.resolve(import.meta.dirname, '..');
const model = readFileSync(path.join(root, 'docs/threat-model.md'), 'utf8');
const rows = model.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| threat'));
const named = rows.map((row): [string, string, string] => {
  const [, threat = '', , holder = ''] = row.split('|').map((cell) => cell.trim());
  const [, file = '', title = ''] = /^`([^`]+)`: (.+)$/.exec(holder) ?? [];
  return [threat, file, title];
});

test('the threat model has rows', () => expect(named.length).toBeGreaterThan(20));

test.for(named)('%s: the test that holds it exists', ([, file, title]) => {
  // In a source file a quotation mark may stand behind a backslash.
  const source = readFileSync(path.join(root, file), 'utf8').replaceAll("\\'", "'");
  expect(title.length).toBeGreaterThan(10);
  expect(source).toContain(title);
});
