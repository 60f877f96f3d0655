import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { link, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { developmentKeys, keyRing, withDevelopmentKeys } from './keys.ts';

const key = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes));
const keyId = fc.stringMatching(/^[a-z0-9-]{1,32}$/);

async function dataFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'prequal-keys-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

describe('a key ring', () => {
  test('has the keys that were written, the first one current', () => {
    const entries = fc.uniqueArray(fc.tuple(keyId, key), { minLength: 1, maxLength: 5, selector: ([id]) => id });
    fc.assert(
      fc.property(entries, fc.constantFrom(',', ', ', ' , '), (given, comma) => {
        const ring = keyRing.parse(given.map(([id, bytes]) => `${id}:${bytes.toString('base64')}`).join(comma));
        expect(ring.currentId).toBe(given[0]?.[0]);
        expect([...ring.keys]).toEqual(given);
      }),
    );
  });

  const sound = randomBytes(32).toString('base64');
  test.each([
    ['nothing', ''],
    ['a key without an id', sound],
    ['an empty id', `:${sound}`],
    ['a capital in the id', `K1:${sound}`],
    ['an id of 33 characters', `${'k'.repeat(33)}:${sound}`],
    ['31 bytes', `k-1:${randomBytes(31).toString('base64')}`],
    ['33 bytes', `k-1:${randomBytes(33).toString('base64')}`],
    ['hexadecimal', `k-1:${randomBytes(32).toString('hex')}`],
    ['one sound key and one that is not', `k-1:${sound},k-2:secret`],
    ['a comma at the end', `k-1:${sound},`],
    ['an id twice, so that a key would be lost', `k-1:${sound},k-1:${randomBytes(32).toString('base64')}`],
  ])('is refused for %s', (_what, text) => {
    expect(keyRing.safeParse(text).success).toBe(false);
  });

  test('is refused without repeating any of it', () => {
    const text = fc.oneof(
      fc.string({ minLength: 1 }).map((rest) => `§${rest}`),
      fc.tuple(keyId, key).map(([id, bytes]) => `${id}:§${bytes.toString('base64')}`),
    );
    fc.assert(
      fc.property(text, (wrong) => {
        const refused = keyRing.safeParse(wrong);
        expect(refused.success).toBe(false);
        expect(JSON.stringify(refused.error)).not.toContain('§');
        expect(refused.error?.message).toContain('openssl rand -base64 32');
      }),
    );
  });

  test('that is missing is asked for', () => {
    expect(keyRing.safeParse(undefined).error?.issues[0]?.message).toContain('the keys that protect PANs');
  });
});

describe('development keys', () => {
  test('are made once and kept', async () => {
    const folder = join(await dataFolder(), 'made', 'on', 'demand');
    const first = await developmentKeys(folder);
    expect(await developmentKeys(folder)).toEqual(first);
    expect(first.PAN_ENCRYPTION_KEYS).not.toBe(first.PAN_INDEX_KEYS);
    expect(keyRing.parse(first.PAN_ENCRYPTION_KEYS).currentId).toBe('dev-1');
    expect(keyRing.parse(first.PAN_INDEX_KEYS).currentId).toBe('dev-1');
  });

  test('differ from one folder to the next', async () => {
    const first = await developmentKeys(await dataFolder());
    expect((await developmentKeys(await dataFolder())).PAN_ENCRYPTION_KEYS).not.toBe(first.PAN_ENCRYPTION_KEYS);
  });

  test('are for their owner alone, and nothing else is left in the folder', async () => {
    const folder = await dataFolder();
    await developmentKeys(folder);
    expect(await readdir(folder)).toEqual(['development-keys.json']);
    expect((await stat(join(folder, 'development-keys.json'))).mode & 0o777).toBe(0o600);
  });

  test('are made once also when calls race', async () => {
    const folder = await dataFolder();
    const made = await Promise.all(Array.from({ length: 20 }, () => developmentKeys(folder)));
    expect(new Set(made.map((keys) => JSON.stringify(keys))).size).toBe(1);
    expect(JSON.parse(await readFile(join(folder, 'development-keys.json'), 'utf8'))).toEqual(made[0]);
    expect(await readdir(folder)).toEqual(['development-keys.json']);
  });

  test('are made once also when processes race', async () => {
    const folder = await dataFolder();
    const script = `
      import { developmentKeys } from ${JSON.stringify(new URL('./keys.ts', import.meta.url).href)};
      console.log(JSON.stringify(await developmentKeys(process.argv[1])));`;
    const run = () => promisify(execFile)(process.execPath, ['--input-type=module', '-e', script, folder]);
    const made = await Promise.all([run(), run(), run(), run()]);
    expect(new Set(made.map(({ stdout }) => stdout)).size).toBe(1);
    expect(JSON.parse(made[0]?.stdout ?? '')).toEqual(await developmentKeys(folder));
  });

  test('survive a process that died while making them, also when its id is given again', async () => {
    const folder = await dataFolder();
    const keys = await developmentKeys(folder);
    // As after a crash between link and unlink: the draft is still there, and it is the same file.
    const file = join(folder, 'development-keys.json');
    await link(file, `${file}.${process.pid}`);
    expect(await developmentKeys(folder)).toEqual(keys);
  });

  test('that were damaged are not replaced: what they protect would be lost', async () => {
    const folder = await dataFolder();
    await writeFile(join(folder, 'development-keys.json'), '{"PAN_ENCRYPTION_KEYS":"dev-1:x"}');
    await expect(developmentKeys(folder)).rejects.toThrow('PAN_INDEX_KEYS');
    expect(await readFile(join(folder, 'development-keys.json'), 'utf8')).toBe('{"PAN_ENCRYPTION_KEYS":"dev-1:x"}');
  });
});

describe('the environment gets development keys', () => {
  test('when it names a data folder and no keys', async () => {
    const folder = await dataFolder();
    const env = await withDevelopmentKeys({ PREQUAL_DATA_DIR: folder, LOG_LEVEL: 'warn', PAN_ENCRYPTION_KEYS: '' });
    expect(env).toEqual({ PREQUAL_DATA_DIR: folder, LOG_LEVEL: 'warn', ...(await developmentKeys(folder)) });
  });

  test.each([
    ['in production', { NODE_ENV: 'production' }],
    ['when it names both', { PAN_ENCRYPTION_KEYS: 'a', PAN_INDEX_KEYS: 'b' }],
    ['when it names one: the other is then missing, not made up', { PAN_ENCRYPTION_KEYS: 'a' }],
    ['when it names the other', { PAN_INDEX_KEYS: 'b' }],
  ])('but not %s', async (_when, given) => {
    const folder = await dataFolder();
    const env = { PREQUAL_DATA_DIR: folder, ...given };
    expect(await withDevelopmentKeys(env)).toEqual(env);
    expect(await readdir(folder)).toEqual([]);
  });

  test('but not without a data folder', async () => {
    expect(await withDevelopmentKeys({ LOG_LEVEL: 'warn' })).toEqual({ LOG_LEVEL: 'warn' });
  });
});
