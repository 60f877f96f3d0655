import { sql } from '@prequal/persistence';
import { isStaff, Refusal, type Viewer } from '@prequal/schema';
import type { TokenVerifier } from './verify-token.ts';

/** Who asks, and until when that holds; or why we do not listen. */
type Identified = { viewer: Viewer | Refusal; expiresAtMs?: number };

export type Identify = (authorization: unknown, options?: { isTrusted: boolean }) => Promise<Identified>;

export type IdentifyOptions = {
  /** undefined when there is no issuer: then no token is accepted */
  verify: TokenVerifier | undefined;
  allowAnonymous: boolean;
};

// The scheme is case-insensitive (RFC 9110), the token three parts of base64url.
const bearer = /^Bearer +([\w-]+\.[\w-]+\.[\w-]*)$/i;

/**
 * Who sends this `authorization`, wherever it stood. Something that is no sound token is refused, never taken
 * for nobody. `isTrusted` lets a test of the system itself in without a token.
 */
export function createIdentify({ verify, allowAnonymous }: IdentifyOptions): Identify {
  return async (authorization, { isTrusted } = { isTrusted: false }) => {
    if (authorization === undefined) {
      if (allowAnonymous || isTrusted) return { viewer: 'anonymous' };
      return { viewer: new Refusal('UNAUTHENTICATED', 'Send a token: authorization: Bearer …') };
    }
    const token = typeof authorization === 'string' ? bearer.exec(authorization)?.[1] : undefined;
    if (token === undefined || !verify) {
      return { viewer: new Refusal('UNAUTHENTICATED', 'The authorization is not a token that is accepted here.') };
    }
    try {
      const { subject, roles, expiresAtMs } = await verify(token);
      return { viewer: { subject, roles }, expiresAtMs };
    } catch (error) {
      if (error instanceof Refusal) return { viewer: error };
      throw error;
    }
  };
}

/** What a viewer may see, as the database is asked. */
export type Sight = { subject: string | null; seesAll: boolean };

export function sightOf(viewer: Viewer): Sight {
  return { subject: viewer === 'anonymous' ? null : viewer.subject, seesAll: isStaff(viewer) };
}

/**
 * Whether the application `a` is there for whoever asked for it in `w`. It stands in the join that finds the
 * row, so that what somebody may not see and what does not exist take the same way and the same time.
 */
export const isInSight = sql`(a.owner is null or a.owner = w.subject or w.sees_all)`;

/** a timer takes no more; what lies further ahead is waited for in several */
const maxTimerMs = 2 ** 31 - 1;

/** Calls once at the instant, unless the signal has fired before. */
export function atInstant(instantMs: number, signal: AbortSignal, call: () => void): void {
  if (signal.aborted) return;
  const wait = () => {
    const leftMs = instantMs - Date.now();
    if (leftMs <= 0) return call();
    timer = setTimeout(wait, Math.min(leftMs, maxTimerMs));
  };
  let timer: NodeJS.Timeout | undefined;
  signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
  wait();
}
