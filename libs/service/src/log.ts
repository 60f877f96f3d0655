import { type DestinationStream, type Logger, pino } from 'pino';
import pretty from 'pino-pretty';

export type { Logger };

/**
 * The service's logger: one JSON object a line on standard output, or readable lines when that is a
 * terminal. Errors are logged by class and message alone; a database error's detail repeats the row,
 * and the row is somebody's application.
 */
export function createLog(service: string, level: string, destination?: DestinationStream): Logger {
  const options = {
    level,
    base: { service },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: describeError },
    redact: { paths: redacted, censor: '[redacted]' },
  };
  if (destination) return pino(options, destination);
  if (process.stdout.isTTY || process.env['LOG_PRETTY'] === '1') {
    return pino(options, pretty({ ignore: 'pid,hostname,service', messageFormat: `${service}: {msg}`, sync: true }));
  }
  return pino(options);
}

const redacted = ['panNumber', 'pan', 'applicantName', 'authorization', 'cookie'].flatMap((key) => [key, `*.${key}`]);

function describeError(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { message: 'a value that is no Error was thrown' };
  const code = 'code' in error && typeof error.code === 'string' ? { code: error.code } : {};
  const cause = error.cause instanceof Error ? { cause: describeError(error.cause) } : {};
  const frames = error.stack?.split('\n').filter((line) => /^\s+at /.test(line)).join('\n');
  return { type: error.name, message: firstLine(error.message), ...code, stack: frames, ...cause };
}

// Drivers append the failing statement or row on further lines.
function firstLine(message: string): string {
  return message.split('\n', 1)[0]?.slice(0, 500) ?? '';
}
