import { randomBytes } from 'node:crypto';

const poolBytes = 4_096;
let pool: Buffer = Buffer.alloc(0);

/**
 * Unpredictable bytes, each given out once. Asked of the system for many at a time: a call takes longer than all that
 * is made of the few which an id needs.
 */
export function pooledRandom(bytes: number): Buffer {
  if (bytes > poolBytes) return randomBytes(bytes);
  // A new one each time, so that what was given out stays as it is.
  if (pool.length < bytes) pool = randomBytes(poolBytes);
  const taken = pool.subarray(0, bytes);
  pool = pool.subarray(bytes);
  return taken;
}
