const awayCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  // connection exceptions, too many connections, shutting down or starting, read-only standby, lock or statement timeout
  '53300',
  '57P01',
  '57P02',
  '57P03',
  '25006',
  '55P03',
  '57014',
]);

/**
 * True when PostgreSQL, not the request, is at fault: away, restarting, full or too slow. Such work is
 * worth trying again; nothing is wrong with it.
 */
export function isDatabaseAway(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (awayCodes.has(code) || code.startsWith('08')) return true;
  // pg has no code for these.
  if (
    /^(Connection terminated|timeout exceeded when trying to connect|Query read timeout|Client has encountered a connection error)/.test(
      error.message,
    )
  )
    return true;
  return error.cause !== undefined && isDatabaseAway(error.cause);
}
