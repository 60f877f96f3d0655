import { execFile } from 'node:child_process';
import { glob, readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createLog } from './log.ts';

const pan = 'ABCDE1234F';

function recorded(level = 'trace') {
  const lines: string[] = [];
  const log = createLog('test', level, { write: (line) => void lines.push(line) });
  return { log, lines, last: () => JSON.parse(lines.at(-1) ?? '{}') };
}

/** As node-postgres throws it: the failing row in `detail`, sometimes the statement on a second line. */
function databaseError(): Error {
  return Object.assign(new Error(`duplicate key value\ninsert into t values ('${pan}')`), {
    name: 'DatabaseError',
    code: '23505',
    detail: `Key (pan)=(${pan}) already exists.`,
    where: `row ${pan}`,
    parameters: [pan],
    row: { pan },
  });
}

test('a line is JSON with level, time, service and message', () => {
  const { log, lines, last } = recorded();
  log.info({ applicationId: 'a-1' }, 'hello');
  expect(lines).toHaveLength(1);
  expect(lines[0]?.endsWith('\n')).toBe(true);
  expect(last()).toEqual({
    level: 'info',
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    service: 'test',
    applicationId: 'a-1',
    msg: 'hello',
  });
});

test('what is below the level is not written', () => {
  const { log, lines } = recorded('warn');
  log.info('no');
  log.warn('yes');
  expect(lines).toHaveLength(1);
});

describe('an error is logged', () => {
  test('by class, code, first line and place', () => {
    const { log, last } = recorded();
    log.error({ err: databaseError() }, 'not stored');
    expect(last()).toMatchObject({
      msg: 'not stored',
      err: { type: 'DatabaseError', code: '23505', message: 'duplicate key value' },
    });
    expect(last().err.stack).toMatch(/^\s+at .*log\.test\.ts:\d+:\d+/m);
    expect(Object.keys(last().err).toSorted()).toEqual(['code', 'message', 'stack', 'type']);
  });

  test.each([
    ['under err', (error: Error) => [{ err: error }, 'failed'] as const],
    ['under err, without a message', (error: Error) => [{ err: error }] as const],
    ['alone', (error: Error) => [error] as const],
    ['alone, with a message', (error: Error) => [error, 'failed'] as const],
    ['as the cause of another', (error: Error) => [{ err: new Error('outer', { cause: error }) }, 'failed'] as const],
    [
      'as the cause of the cause',
      (error: Error) =>
        [{ err: new Error('outer', { cause: new Error('middle', { cause: error }) }) }, 'failed'] as const,
    ],
  ])('%s, never with the row or further lines', (_how, call) => {
    const { log, lines, last } = recorded();
    const [first, message] = call(databaseError());
    log.error(first, message);
    expect(lines.join('')).not.toContain(pan);
    expect(lines.join('')).toContain('duplicate key value');
    expect(last().msg).toBeTypeOf('string');
  });

  test('without what its further lines say, even when they look like a stack', () => {
    const furtherLines = fc.array(fc.constantFrom(`    at ${pan}`, `\tat f (${pan}:1:1)`, pan, `at ${pan}`, ''), {
      minLength: 1,
    });
    fc.assert(
      fc.property(furtherLines, (further) => {
        const { log, lines } = recorded();
        log.error({ err: new Error(['first line', ...further, pan].join('\n')) }, 'failed');
        expect(lines.join('')).not.toContain(pan);
        expect(lines.join('')).toContain('log.test.ts');
      }),
    );
  });

  test('with at most 500 characters of its message', () => {
    const { log, last } = recorded();
    log.error({ err: new Error('m'.repeat(10_000)) }, 'failed');
    expect(last().err.message).toBe('m'.repeat(500));
    expect(last().err.stack).not.toContain('mmm');
  });

  test('also when it is its own cause', () => {
    const { log, last } = recorded();
    const error: Error = new Error('round and round');
    error.cause = error;
    log.error({ err: error }, 'failed');
    expect(last().err.message).toBe('round and round');
  });

  test('also when it is no Error, without its content', () => {
    const { log, lines, last } = recorded();
    log.error({ err: `thrown text ${pan}` }, 'failed');
    log.error({ err: { pan } }, 'failed');
    expect(lines.join('')).not.toContain(pan);
    expect(last().err.message).toBe('a value that is no Error was thrown');
  });
});

describe('the message of a line', () => {
  test('is the first line of an error that comes without one', () => {
    const { log, last } = recorded();
    const error = () => new Error('not stored\nof Asha');
    for (const first of [{ err: error() }, error(), Object.assign(error(), { err: undefined })]) {
      log.error(first);
      expect(last().msg).toBe('not stored');
    }
  });

  test('is nothing that stands in the place of an error', () => {
    const { log, lines, last } = recorded();
    log.error({ err: { message: 'of Asha' } });
    expect(last().msg).toBe('a value that is no Error was thrown');
    log.error({ err: Object.assign(new Error('x'), { message: { of: 'Asha' }, name: { of: 'Asha' }, stack: 1 }) });
    expect(lines.join('')).not.toContain('Asha');
  });

  test('is there also when nothing comes before it', () => {
    const { log, last } = recorded();
    log.info(undefined, 'said');
    expect(last().msg).toBe('said');
    log.info(null, 'said too');
    expect(last().msg).toBe('said too');
  });
});

describe('personal data and credentials are blacked out', () => {
  const names = ['panNumber', 'pan', 'applicantName', 'authorization', 'cookie'];
  const secret = '§secret§';
  const places: [string, (name: string) => Record<string, unknown>][] = [
    ['at the top', (name) => ({ [name]: secret })],
    ['one level down', (name) => ({ input: { [name]: secret } })],
    ['two levels down', (name) => ({ request: { headers: { [name]: secret } } })],
    ['three levels down', (name) => ({ body: { variables: { input: { [name]: secret } } } })],
    ['in a list', (name) => ({ applications: [{ [name]: secret }, { [name]: secret }] })],
    ['as a whole object', (name) => ({ [name]: { inner: secret } })],
  ];

  test.each(places)('%s', (_where, place) => {
    for (const name of names) {
      const { log, lines } = recorded();
      log.info({ reason: 'yes', ...place(name) }, 'said');
      expect(lines.join('')).not.toContain('secret§');
      expect(lines.join('')).toContain('[redacted]');
      expect(lines.join('')).toContain('"reason":"yes"');
    }
  });

  test.each(places)('%s, in what a child logger repeats on each line', (_where, place) => {
    for (const name of names) {
      const { log, lines } = recorded();
      log.child(place(name)).info('said');
      expect(lines.join('')).not.toContain('secret§');
      expect(lines.join('')).toContain('[redacted]');
    }
  });

  test('in what would be put into a message', () => {
    const { log, lines, last } = recorded();
    const input = { applicantName: secret };
    log.info('the input %o', input);
    log.info({ reason: 'yes' }, 'the input %j and %s', input, secret);
    log.info({ reason: 'yes' }, input as never);
    expect(lines).toHaveLength(3);
    expect(lines.join('')).not.toContain('secret§');
    expect(last()).toMatchObject({ reason: 'yes' });
  });

  test('in what a child logger is given later, or with options of its own', () => {
    const { log, lines } = recorded();
    const child = log.child({}, { formatters: { log: (fields) => fields } });
    child.info({ applicantName: secret }, 'said');
    child.setBindings({ applicantName: secret });
    child.info('said');
    expect(lines).toHaveLength(2);
    expect(lines.join('')).not.toContain('secret§');
  });

  test('and the logged object stays as it was', () => {
    const { log } = recorded();
    const input = { input: { panNumber: pan } };
    log.info(input, 'said');
    expect(input).toEqual({ input: { panNumber: pan } });
  });
});

describe('a field', () => {
  test('that is not on the list is not written, also when a child logger repeats it', () => {
    const { log, last } = recorded();
    log.info({ applicationId: 'a-1', income: 75_000, nested: { reason: 'x' } }, 'said');
    expect(last()).toMatchObject({ applicationId: 'a-1', income: '[redacted]', nested: '[redacted]' });
    log.child({ city: 'Pune', subject: 's' }).info('said');
    expect(last()).toMatchObject({ city: '[redacted]', subject: 's' });
  });

  test('that is on the list holds a plain value and no object', () => {
    const { log, last } = recorded();
    log.info({ reason: { of: 'it' }, problem: ['a'], attempt: 0, status: null }, 'said');
    expect(last()).toMatchObject({ reason: '[redacted]', problem: '[redacted]', attempt: 0, status: null });
  });

  test('that the code logs is on the list', async () => {
    const root = path.resolve(import.meta.dirname, '../../..');
    const files: string[] = [];
    for await (const file of glob('{gateway,scoring,decisioning,libs/*}/src/**/*.ts', { cwd: root })) files.push(file);
    const logged = new Set<string>();
    for (const file of files.filter((name) => !name.endsWith('.test.ts'))) {
      const source = await readFile(path.join(root, file), 'utf8');
      for (const [, fields = ''] of source.matchAll(/\blog\??\.(?:fatal|error|warn|info|debug)\(\s*\{([^}]*)\}/g)) {
        for (const [, name] of fields.matchAll(/(?:^|,)\s*(\w+)/g)) logged.add(name ?? '');
      }
    }
    expect(logged.size).toBeGreaterThan(10);
    const { log, last } = recorded();
    for (const name of logged) {
      log.info({ [name]: name === 'err' ? new Error('x') : 'y' }, 'said');
      expect(last()[name], name).not.toBe('[redacted]');
    }
  });
});

describe('the last net', () => {
  test('takes a PAN out of a message, a field, an error and its stack, in any writing', () => {
    for (const written of [pan, 'ABCDE 1234 F', 'abcde1234f', 'ＡＢＣＤＥ1234Ｆ']) {
      const { log, lines } = recorded();
      log.info(`the PAN ${written} in a message`);
      log.info({ reason: written }, 'in a field');
      log.error({ err: new Error(`of ${written}`) }, 'in an error');
      log.error(new Error(`of ${written}`));
      log.child({ reason: written }).info('in a child');
      expect(lines).toHaveLength(5);
      for (const line of lines) {
        expect(line).toContain('[PAN]');
        expect(line).not.toContain(written);
        expect(JSON.parse(line)).toMatchObject({ service: 'test' });
      }
    }
  });

  test('is there on the standard output of a process as well', async () => {
    const file = path.join(import.meta.dirname, 'log.ts');
    const code = `import { createLog } from ${JSON.stringify(file)}; createLog('x', 'info').info('of ${pan} ₹');`;
    const run = promisify(execFile);
    for (const LOG_PRETTY of ['0', '1']) {
      const env = { ...process.env, LOG_PRETTY };
      const { stdout } = await run(process.execPath, ['--input-type=module', '-e', code], { env });
      expect(stdout).toContain('of [PAN] ₹');
    }
  });
});

test('a database error is logged without the value that it quotes', () => {
  const { log, lines, last } = recorded();
  const message = 'invalid input syntax for type uuid: "Asha Rao"';
  log.error({ err: Object.assign(new Error(message), { code: '22P02' }) }, 'failed');
  expect(lines.join('')).not.toContain('Asha');
  expect(last().err.message).toBe('invalid input syntax for type uuid');
});
