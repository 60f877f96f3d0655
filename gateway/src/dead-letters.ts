import {
  countDeadLetters,
  type Database,
  discardDeadLetter,
  listDeadLetters,
  replayDeadLetter,
  type StoredDeadLetter,
} from '@prequal/persistence';
import type { DeadLetterState } from '@prequal/schema';
import type { Page, PageRequest } from '@prequal/schema/graphql';
import type { Logger } from '@prequal/service';
import { cursorOf, placeOf } from './cursor.ts';

export type DeadLettersDeps = { database: Database; newId: () => string; log: Logger };

export type DeadLetters = ReturnType<typeof createDeadLetters>;

/** What operators do with what workers gave up: the same as on the command line, through the same code. */
export function createDeadLetters({ database, newId, log }: DeadLettersDeps) {
  return {
    list: async (state: DeadLetterState | undefined, page: PageRequest): Promise<Page<StoredDeadLetter>> => {
      // One more than asked for tells whether there is another page.
      const found = await listDeadLetters(database, { state }, page.first + 1, placeOf(page.after));
      return {
        entries: found.slice(0, page.first).map((node) => ({ cursor: cursorOf(node), node })),
        hasNextPage: found.length > page.first,
        hasPreviousPage: page.after !== undefined,
        totalCount: () => countDeadLetters(database, state),
      };
    },
    replay: async (id: string, by: string): Promise<StoredDeadLetter> => {
      const replayed = await replayDeadLetter(database, { id, by, messageId: newId() });
      log.info({ deadLetterId: id }, 'dead letter replayed');
      return replayed;
    },
    discard: async (id: string, by: string, reason: string): Promise<StoredDeadLetter> => {
      const discarded = await discardDeadLetter(database, { id, by, reason });
      log.info({ deadLetterId: id }, 'dead letter discarded');
      return discarded;
    },
  };
}
