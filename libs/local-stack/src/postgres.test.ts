import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openDatabase, sql } from '@prequal/persistence';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startPostgres } from './postgres.ts';
import { commandLine, isAlive } from './processes.ts';

const asRoot = process.getuid?.() === 0;
let folder: string;
let dataDir: string;
let said: string[];
const log = (sentence: string): void => void said.push(sentence);

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'pg-'));
  await chmod(folder, 0o755); // mkdtemp makes 0700, which the server's user could not enter
  dataDir = path.join(folder, 'postgres');
  said = [];
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function query(databaseUrl: string, text: string): Promise<unknown[]> {
  await using database = await openDatabase({ databaseUrl, poolMax: 1, applicationName: 'test' });
  return (await sql.raw(text).execute(database.sql())).rows;
}

describe('PostgreSQL', () => {
  test('starts with an empty database, durably configured, and keeps data, password and port', async () => {
    const first = await startPostgres({ dataDir, port: 0, log });
    const [settings] = await query(
      first.url,
      `select current_database() as db, current_setting('fsync') as fsync, current_setting('synchronous_commit') as commit, current_setting('server_encoding') as encoding`,
    );
    expect(settings).toEqual({ db: 'prequal', fsync: 'on', commit: 'on', encoding: 'UTF8' });
    await query(first.url, 'create table kept (id int); insert into kept values (1)');
    await first[Symbol.asyncDispose]();
    expect(isAlive(first.pid)).toBe(false);
    await using second = await startPostgres({ dataDir, port: 0, log });
    expect(second.url).toBe(first.url);
    expect(await query(second.url, 'select id from kept')).toEqual([{ id: 1 }]);
  });

  test('a value never reaches its log, not even when the statement fails', async () => {
    await using server = await startPostgres({ dataDir, port: 0 });
    await query(server.url, 'create table people (pan text unique check (length(pan) < 20))');
    await query(server.url, `insert into people values ('ABCDE1234F')`);
    await expect(query(server.url, `insert into people values ('ABCDE1234F')`)).rejects.toThrow();
    await expect(query(server.url, `insert into people values ('ABCDE1234F-ABCDE1234F')`)).rejects.toThrow();
    const written = await readFile(path.join(dataDir, 'postgres.log'), 'utf8');
    expect(written).toContain('duplicate key');
    expect(written).not.toContain('ABCDE1234F');
  });

  test('the password is readable by the server and us only, and no other one opens it', async () => {
    await using server = await startPostgres({ dataDir, port: 0 });
    expect((await stat(path.join(dataDir, 'data', 'prequal-password'))).mode & 0o777).toBe(0o600);
    await expect(query(server.url.replace(/:[^:@]+@/, ':wrong@'), 'select 1')).rejects.toThrow();
  });

  test('an interrupted first start leaves nothing that the next one stumbles over', async () => {
    const interrupted = new AbortController();
    await expect(
      startPostgres({
        dataDir,
        port: 0,
        signal: interrupted.signal,
        log: (sentence) => {
          if (sentence.startsWith('Creating')) setImmediate(() => interrupted.abort());
        },
      }),
    ).rejects.toThrow();
    await mkdir(path.join(dataDir, 'initializing-by-a-killed-run'), { recursive: true });
    await using server = await startPostgres({ dataDir, port: 0 });
    expect(await query(server.url, 'select 1 as one')).toEqual([{ one: 1 }]);
    expect((await readdir(dataDir)).filter((name) => name.startsWith('initializing-'))).toEqual([]);
  });

  test('a server left behind by a killed process is stopped and its data used again', async () => {
    const code = `
      const { startPostgres } = await import(${JSON.stringify(path.join(import.meta.dirname, 'postgres.ts'))});
      const server = await startPostgres(${JSON.stringify({ dataDir, port: 0 })});
      console.log(server.pid);`;
    const parent = spawn(process.execPath, ['--input-type=module', '-e', code], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [output] = (await once(parent.stdout, 'data')) as [Buffer];
    const leftOver = Number(output.toString());
    parent.kill('SIGKILL');
    await once(parent, 'exit');
    expect(await commandLine(leftOver)).toContain(dataDir);
    await using server = await startPostgres({ dataDir, port: 0, log });
    expect(server.pid).not.toBe(leftOver);
    expect(await commandLine(leftOver)).toBe(''); // gone, or a zombie that nobody reaps
    expect(said.join('\n')).toContain(`process ${leftOver}`);
  });

  test('after a SIGKILL with clients connected it starts again and has what was committed', async () => {
    const first = await startPostgres({ dataDir, port: 0 });
    await using database = await openDatabase({ databaseUrl: first.url, poolMax: 3, applicationName: 'test' });
    await sql.raw('create table kept (id int)').execute(database.sql());
    await sql.raw('insert into kept values (1)').execute(database.sql());
    process.kill(first.pid, 'SIGKILL');
    expect(await first.exited).toBe('SIGKILL');
    await using second = await startPostgres({ dataDir, port: first.port });
    expect(await query(second.url, 'select id from kept')).toEqual([{ id: 1 }]);
  });

  test('the process id of somebody else in a stale postmaster.pid is left alone', async () => {
    await (await startPostgres({ dataDir, port: 0 }))[Symbol.asyncDispose]();
    const bystander = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
    await writeFile(path.join(dataDir, 'data', 'postmaster.pid'), `${bystander.pid}\n${dataDir}\n0\n1\n\n\n\nready\n`);
    await expect(
      startPostgres({ dataDir, port: 0 }).then((server) => server[Symbol.asyncDispose]()),
    ).resolves.toBeUndefined();
    expect(bystander.exitCode).toBeNull();
    bystander.kill('SIGKILL');
    await once(bystander, 'exit');
  });

  test.runIf(asRoot)(
    'below a folder that its user may not enter, the data goes to one place, the same at each start',
    async () => {
      await chmod(folder, 0o700);
      const first = await startPostgres({ dataDir, port: 0, log });
      const [place] = /\/var\/tmp\/prequal-[0-9a-f]{16}/.exec(said.join('\n')) ?? [];
      try {
        await query(first.url, 'create table kept (id int)');
        await first[Symbol.asyncDispose]();
        await using second = await startPostgres({ dataDir, port: 0 });
        expect(await query(second.url, 'select id from kept')).toEqual([]);
      } finally {
        await first[Symbol.asyncDispose]();
        if (place) await rm(place, { recursive: true, force: true });
      }
    },
  );
});
