const awayCodes = new Set([
  'ECONNABORTED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  // out of disk, memory or connections; shutting down, starting, or ended by an operator or a time limit
  '53100',
  '53200',
  '53300',
  '53400',
  '57P01',
  '57P02',
  '57P03',
  '57P05',
  '25P03',
  // a standby that only reads, an input or output error of the server
  '25006',
  '58030',
  // waited too long for a lock, in a deadlock, or over the statement's time
  '55P03',
  '40P01',
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
    /^(Connection terminated|Connection ended unexpectedly|timeout exceeded when trying to connect|Query read timeout|Client was closed and is not queryable|Client has encountered a connection error)/.test(
      error.message,
    )
  )
    return true;
  return error.cause !== undefined && isDatabaseAway(error.cause);
}
