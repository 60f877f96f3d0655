import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createSchema } from '@prequal/schema/graphql';
import { listen } from '@prequal/service';
import { parse, validate } from 'graphql';
import { expect, onTestFinished } from 'vitest';
import { decisioningConfig } from '../decisioning/src/config.ts';
import { gatewayConfig } from '../gateway/src/config.ts';
import { scoringConfig } from '../scoring/src/config.ts';
import { test } from './stack.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..');
const readme = await readFile(join(root, 'README.md'), 'utf8');
const blocks = (language: string) =>
  [...readme.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'))].map((match) => match[1] ?? '');

test('every variable a service reads stands in the README', () => {
  const known = Object.keys({ ...gatewayConfig, ...scoringConfig, ...decisioningConfig });
  expect(known.filter((variable) => !readme.includes(`\`${variable}\``))).toEqual([]);
});

test('every error code stands in the README', async () => {
  const source = await readFile(join(root, 'schema/src/refusal.ts'), 'utf8');
  const codes = [...source.matchAll(/^ {2}\| '([A-Z_]+)'/gm)].map((match) => match[1]);
  expect(codes.length).toBeGreaterThan(3);
  expect([...codes, 'INTERNAL'].filter((code) => !readme.includes(`| \`${code}\` |`))).toEqual([]);
});

test('every file and command it names exists', async () => {
  const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  const commands = [...readme.matchAll(/(?:^|`)npm (?:run )?([a-z:-]+)/gm)].map((match) => match[1] ?? '');
  expect(commands.filter((command) => !(command in scripts))).toEqual([]);
  const paths = [...readme.matchAll(/`((?:schema|gateway|scoring|decisioning|libs)\/[^`]*)`/g)].map(
    (match) => match[1] ?? '',
  );
  expect(paths.length).toBeGreaterThan(8);
  for (const path of paths) await expect(run('ls', [join(root, path)]), path).resolves.toBeDefined();
});

test('the curl examples work when pasted', async ({ stack }) => {
  const examples = blocks('sh').filter((block) => block.includes('curl'));
  const outputs: string[] = [];
  for (const example of examples) {
    const script = example.replaceAll('http://127.0.0.1:4000/graphql', stack.client.url);
    const { stdout } = await run('sh', ['-c', script], {
      cwd: root,
      env: { ...process.env, ...stack.envOf('gateway') },
    });
    outputs.push(stdout);
  }
  expect(outputs).toHaveLength(3);
  expect(JSON.parse(outputs[0] ?? '')).toMatchObject({
    data: { submitApplication: { replayed: false, application: { status: 'PENDING' } } },
  });
  const mine = JSON.parse(outputs[2] ?? '').data.submitApplication.application;
  expect(mine.status).toBe('PENDING');
  // It belongs to the token's subject.
  const { data } = await stack.client.request('query($id: ID!) { application(id: $id) { id } }', { id: mine.id });
  expect(data).toEqual({ application: null });
  expect(outputs[1]).toMatch(/"status":"REJECTED","version":2,"cibilScore":610,"final":true.*event: complete/s);
});

const watching = blocks('js')[0] ?? '';

/** What a script says that stands where the packages are. */
async function outputOf(script: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'prequal-readme-'));
  try {
    await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
    await writeFile(join(folder, 'example.mjs'), script);
    return (await run(process.execPath, [join(folder, 'example.mjs')], { timeout: 20_000 })).stdout;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

test('the graphql-ws example works when pasted', async ({ stack }) => {
  const output = await outputOf(watching.replace('http://127.0.0.1:4000/graphql', stack.client.url));
  expect(output).toContain("status: 'PENDING'");
  expect(output).toContain("status: 'PRE_APPROVED'");
});

test('the graphql-ws example goes on when the gateway could not be reached for a while', async ({ stack }) => {
  const gateway = new URL(stack.client.url);
  let came = 0;
  const between = createServer((client) => {
    came += 1;
    if (came <= 2) client.resetAndDestroy();
    else client.pipe(connect(Number(gateway.port), gateway.hostname)).pipe(client);
  });
  onTestFinished(() => void between.close());
  const url = await listen(between, { host: '127.0.0.1', port: 0 });
  const script = watching
    .replace('http://127.0.0.1:4000/graphql', stack.client.url)
    .replace("url.replace('http', 'ws')", `'${url.replace('http', 'ws')}/graphql'`);
  expect(await outputOf(script)).toContain("status: 'PRE_APPROVED'");
  expect(came).toBe(3);
});

test('the GraphiQL example fits the schema', async ({ stack }) => {
  const { errors } = await stack.client.request(blocks('graphql')[0] ?? '', {
    id: '01890000-0000-7000-8000-000000000000',
  });
  expect(errors).toBeUndefined();
});

test('every GraphQL example fits the schema', () => {
  const examples = blocks('graphql');
  expect(examples.length).toBeGreaterThan(1);
  for (const example of examples) expect(validate(createSchema(), parse(example))).toEqual([]);
});
