import { setTimeout as delay } from 'node:timers/promises';
import { type Database, inTransaction, sql } from './database.ts';

/** What is stored of one PAN. Of an erased one there is nothing to renew. */
export type StoredPan = { id: string; ciphertext: Buffer; index: Buffer };

export type RotateOptions = {
  database: Database;
  /** What should be stored instead, the same values when they are current; undefined when the PAN cannot be read. */
  renew: (stored: StoredPan) => StoredPan | undefined;
  /** told after each batch */
  onProgress: (soFar: Rotated) => void;
  /** most rows locked at once, and for how long to leave the database to others after them */
  batch?: number;
  pauseMs?: number;
};

/** How many applications were looked at in all passes, and what became of them. */
export type Rotated = { looked: number; reencrypted: number; reindexed: number; unreadable: readonly string[] };

const lowestId = '00000000-0000-0000-0000-000000000000';

/**
 * Stores every PAN anew that is not under the current keys. A batch is a transaction of its own, and a row that
 * somebody else has locked is left for the next pass, so nobody waits for long; what is done stays done when it
 * is stopped at any point. Returns when a last look finds nothing to do.
 */
export async function rotateKeys(options: RotateOptions): Promise<Rotated> {
  const { database, batch = 200, pauseMs = 20 } = options;
  const unreadable = new Set<string>();
  const total = { looked: 0, reencrypted: 0, reindexed: 0 };
  const soFar = (): Rotated => ({ ...total, unreadable: [...unreadable] });

  /** One batch beyond `after`; answers its last id, and undefined at the end. */
  async function renewSome(after: string): Promise<string | undefined> {
    return inTransaction(database, async (within) => {
      const { rows } = await sql<StoredPan>`
          select id, pan_ciphertext as ciphertext, pan_index as index from applications
          where id > ${after}::uuid and pan_ciphertext <> '' order by id limit ${batch} for update skip locked`.execute(
        within.sql(),
      );
      const stale = staleOf(rows);
      if (stale.length > 0) {
        const fresh = stale.map((change) => change.fresh);
        await sql`
            update applications a set pan_ciphertext = f.ciphertext, pan_index = f.index
            from unnest(${fresh.map((pan) => pan.id)}::uuid[], ${fresh.map((pan) => pan.ciphertext)}::bytea[],
              ${fresh.map((pan) => pan.index)}::bytea[]) as f (id, ciphertext, index)
            where a.id = f.id`.execute(within.sql());
      }
      return { rows, stale };
    }).then(({ rows, stale }) => {
      total.looked += rows.length;
      total.reencrypted += stale.filter(({ old, fresh }) => !old.ciphertext.equals(fresh.ciphertext)).length;
      total.reindexed += stale.filter(({ old, fresh }) => !old.index.equals(fresh.index)).length;
      return rows.at(-1)?.id;
    });
  }

  function staleOf(rows: readonly StoredPan[]): { old: StoredPan; fresh: StoredPan }[] {
    return rows.flatMap((old) => {
      const fresh = options.renew(old);
      if (!fresh) unreadable.add(old.id);
      return !fresh || (fresh.ciphertext.equals(old.ciphertext) && fresh.index.equals(old.index)) ? [] : { old, fresh };
    });
  }

  async function isAllCurrent(): Promise<boolean> {
    for (let after = lowestId; ; ) {
      const { rows } = await sql<StoredPan>`
        select id, pan_ciphertext as ciphertext, pan_index as index from applications
        where id > ${after}::uuid and pan_ciphertext <> '' order by id limit ${batch}`.execute(database.sql());
      const last = rows.at(-1);
      if (!last) return true;
      if (staleOf(rows).length > 0) return false;
      after = last.id;
      await delay(pauseMs);
    }
  }

  do {
    let after: string | undefined = lowestId;
    while (after !== undefined) {
      after = await renewSome(after);
      options.onProgress(soFar());
      await delay(pauseMs);
    }
  } while (!(await isAllCurrent()));
  return soFar();
}
