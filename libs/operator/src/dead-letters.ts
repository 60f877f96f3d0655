import { userInfo } from 'node:os';
import { parseArgs } from 'node:util';
import {
  checkReplay,
  type Database,
  type DeadLetterFilter,
  discardDeadLetter,
  findDeadLetter,
  listDeadLetters,
  replayDeadLetter,
  type StoredDeadLetter,
} from '@prequal/persistence';
import { containsPan, deadLetterStates, Refusal } from '@prequal/schema';
import { v7 as newId } from 'uuid';
import { UsageError } from './usage-error.ts';

export const usage = `Dead letters: messages that a worker gave up.

  npm run dead-letters -- list [--state OPEN|REPLAYED|DISCARDED|ALL] [--class C] [--consumer W] [--limit N]
  npm run dead-letters -- show ID
  npm run dead-letters -- replay ID… [--dry-run]
  npm run dead-letters -- replay --class C [--consumer W] [--limit N] [--dry-run]
  npm run dead-letters -- discard ID… --reason "…"

replay puts the original message back on its subject under a new message id; discard closes a dead letter and
keeps the reason. --by NAME says who does it (your login name by default). The newest come first, 100 of them unless
--limit says otherwise.`;

const options = {
  state: { type: 'string', default: 'OPEN' },
  class: { type: 'string' },
  consumer: { type: 'string' },
  limit: { type: 'string', default: '100' },
  reason: { type: 'string' },
  by: { type: 'string' },
  'dry-run': { type: 'boolean', default: false },
} as const;

type Values = ReturnType<typeof parseArgs<{ options: typeof options; allowPositionals: true }>>['values'];

/**
 * Runs one command and says what it did, a line at a time. Answers whether all of it worked. Throws
 * `UsageError`.
 */
export async function deadLetters(database: Database, args: string[], say: (line: string) => void): Promise<boolean> {
  const { values, positionals } = parse(args);
  const [command = '', ...ids] = positionals;
  const wrongId = ids.find((id) => !/^[0-9a-f-]{36}$/i.test(id));
  if (wrongId !== undefined) throw new UsageError('A dead letter is named by its id as `list` prints it.');
  switch (command) {
    case 'list': {
      const { found, more } = await newest(database, filterOf(values), limitOf(values));
      for (const line of table(found)) say(line);
      if (more) say(`These are the newest ${found.length}; a larger --limit shows more.`);
      return true;
    }
    case 'show': {
      if (ids.length === 0) throw new UsageError('show needs an id.');
      return forEach(ids, say, async (id) => show(await findDeadLetter(database, id), say));
    }
    case 'replay': {
      if (ids.length > 0 === (values.class !== undefined)) throw new UsageError('replay needs ids, or --class alone.');
      const by = byOf(values);
      const { found, more } =
        ids.length > 0
          ? { found: ids.map((id) => ({ id })), more: false }
          : await newest(database, { ...filterOf(values), state: 'OPEN' }, limitOf(values));
      if (found.length === 0) say('There is no open dead letter of this class.');
      const worked = await forEach(
        found.map(({ id }) => id),
        say,
        async (id) => {
          if (values['dry-run']) {
            const { subject } = await checkReplay(database, id);
            say(`${id} would go back to ${subject}`);
          } else {
            const { subject, resolution } = await replayDeadLetter(database, { id, by, messageId: newId() });
            say(`${id} goes back to ${subject}, ${resolution}`);
          }
        },
      );
      if (more) say(`These were the newest ${found.length}. Run it again for the others, or with a larger --limit.`);
      return worked;
    }
    case 'discard': {
      const reason = values.reason?.trim();
      if (ids.length === 0 || !reason) throw new UsageError('discard needs ids and --reason "…".');
      const by = byOf(values);
      return forEach(ids, say, async (id) => {
        await discardDeadLetter(database, { id, by, reason });
        say(`${id} discarded`);
      });
    }
    default:
      throw new UsageError('The commands are list, show, replay and discard.');
  }
}

/** At most `limit`, and whether there are more. */
async function newest(database: Database, filter: DeadLetterFilter, limit: number) {
  const found = await listDeadLetters(database, filter, limit + 1);
  return { found: found.slice(0, limit), more: found.length > limit };
}

function parse(args: string[]): { values: Values; positionals: string[] } {
  try {
    return parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : 'The options were not understood.');
  }
}

/** Goes on after a refusal, and says so: one that was resolved meanwhile must not keep the others back. */
async function forEach(
  ids: readonly string[],
  say: (line: string) => void,
  work: (id: string) => Promise<void>,
): Promise<boolean> {
  let worked = true;
  for (const id of ids) {
    try {
      await work(id);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      worked = false;
      say(`${id} refused, ${error.code}: ${error.message}`);
    }
  }
  return worked;
}

function filterOf({ state, class: errorClass, consumer }: Values): DeadLetterFilter {
  if (state === 'ALL') return { errorClass, consumer };
  const known = deadLetterStates.find((candidate) => candidate === state);
  if (known === undefined) throw new UsageError(`--state is one of ${deadLetterStates.join(', ')} or ALL.`);
  return { state: known, errorClass, consumer };
}

const maxLimit = 10_000;

function limitOf({ limit }: Values): number {
  const count = Number(limit);
  if (!Number.isInteger(count) || count < 1 || count > maxLimit) {
    throw new UsageError(`--limit is a whole number from 1 to ${maxLimit}.`);
  }
  return count;
}

function byOf({ by }: Values): string {
  return `operator:${by?.trim() || loginName()}`;
}

function loginName(): string {
  try {
    return userInfo().username;
  } catch {
    // In a container the user may be a number and no more.
    throw new UsageError('Your login has no name here: say who you are with --by NAME.');
  }
}

function table(found: readonly StoredDeadLetter[]): string[] {
  if (found.length === 0) return ['There are none.'];
  const rows = [
    ['ID', 'CREATED', 'STATE', 'CONSUMER', 'CLASS', 'TRIES', 'APPLICATION'],
    ...found.map((letter) => [
      letter.id,
      letter.createdAt.toISOString(),
      letter.state,
      letter.consumer,
      letter.errorClass,
      String(letter.deliveries),
      letter.applicationId ?? '-',
    ]),
  ];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

const maxShownChars = 4_000;

function show({ payload, ...letter }: StoredDeadLetter & { payload: Buffer }, say: (line: string) => void): void {
  for (const [name, value] of Object.entries(letter)) {
    say(`${name}: ${value instanceof Date ? value.toISOString() : (value ?? '-')}`);
  }
  const text = payload.toString('utf8');
  // What somebody else has put on a subject may hold anything.
  say(containsPan(text) ? 'message: not shown, it holds a PAN' : `message: ${text.slice(0, maxShownChars)}`);
}
