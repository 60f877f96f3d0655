import {
  createKeyedDigest,
  createPanDecrypter,
  createPanEncrypter,
  type KeyRing,
  keyIdOf,
  PanUnreadableError,
} from '@prequal/pan';
import { type Database, type Rotated, rotateKeys, type StoredPan } from '@prequal/persistence';
import { streams } from '@prequal/schema';

export type Keys = { encryption: KeyRing; index: KeyRing };

/** Answers how a stored PAN is to be stored under the current keys; undefined for one that no key reads. */
function renewPan({ encryption, index }: Keys): (stored: StoredPan) => StoredPan | undefined {
  const decrypt = createPanDecrypter(encryption);
  const encrypt = createPanEncrypter(encryption);
  const digest = createKeyedDigest(index, 'pan-index');
  return ({ id, ciphertext, index: stored }) => {
    try {
      const pan = decrypt(ciphertext, id);
      const { current } = digest(pan);
      const isCurrent = keyIdOf(ciphertext) === encryption.currentId;
      return {
        id,
        ciphertext: isCurrent ? ciphertext : encrypt(pan, id),
        index: current.equals(stored) ? stored : current,
      };
    } catch (error) {
      if (error instanceof PanUnreadableError) return undefined;
      throw error;
    }
  };
}

const dayMs = 24 * 60 * 60 * 1_000;
const progressMs = 2_000;

export type RotateKeysOptions = {
  database: Database;
  keys: Keys;
  say: (line: string) => void;
  now?: () => number;
  batch?: number;
  pauseMs?: number;
};

/** Brings all PANs under the current keys, and says how far it is and what follows. Answers whether all were. */
export async function rotateAllKeys(options: RotateKeysOptions): Promise<boolean> {
  const { database, keys, say, now = Date.now, batch, pauseMs } = options;
  let saidAt = now();
  const rotated = await rotateKeys({
    database,
    renew: renewPan(keys),
    onProgress: (soFar) => {
      if (now() - saidAt < progressMs) return;
      saidAt = now();
      say(`So far: ${countsOf(soFar)}.`);
    },
    ...(batch !== undefined && { batch }),
    ...(pauseMs !== undefined && { pauseMs }),
  });
  say(`Done: ${countsOf(rotated)}.`);
  if (rotated.unreadable.length > 0) {
    say(
      `${rotated.unreadable.length} PANs cannot be read with any key of PAN_ENCRYPTION_KEYS. Remove no key. The first:`,
    );
    for (const id of rotated.unreadable.slice(0, 10)) say(`  ${id}`);
    return false;
  }
  const lastMessage = new Date(now() + streams.LOAN_APPLICATIONS.maxAgeMs).toISOString();
  say(
    `Of PAN_ENCRYPTION_KEYS only ${keys.encryption.currentId} is needed by the database. Messages may still need the others ` +
      `until ${lastMessage} (${streams.LOAN_APPLICATIONS.maxAgeMs / dayMs} days), and dead letters until they are resolved. Remove them then.`,
  );
  say(
    `Of PAN_INDEX_KEYS only ${keys.index.currentId} is needed by the database. With the others, idempotency keys used so far are ` +
      'still recognised: remove them once no client sends those again.',
  );
  return true;
}

function countsOf({ looked, reencrypted, reindexed }: Rotated): string {
  return `${looked} PANs looked at, ${reencrypted} encrypted anew, ${reindexed} indexed anew`;
}
