import { type DestinationStream, type LogFn, type Logger, pino } from 'pino';
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
    serializers: { err: (error: unknown) => describeError(error) },
    redact: { paths: redacted, censor: '[redacted]' },
    hooks: { logMethod: withOwnMessage },
  };
  if (destination) return pino(options, destination);
  if (process.stdout.isTTY || process.env['LOG_PRETTY'] === '1') {
    return pino(options, pretty({ ignore: 'pid,hostname,service', messageFormat: `${service}: {msg}`, sync: true }));
  }
  return pino(options);
}

// pino has no path for any depth. Nothing is logged on purpose that holds these; this is for the mistake.
const redacted = ['panNumber', 'pan', 'applicantName', 'authorization', 'cookie'].flatMap((key) => [
  key,
  `*.${key}`,
  `*.*.${key}`,
  `*.*.*.${key}`,
]);

/** For an error logged without a message pino takes the error's own, with all its lines. */
function withOwnMessage(this: Logger, args: Parameters<LogFn>, method: LogFn): void {
  const [first] = args as unknown[];
  const error = typeof first === 'object' && first !== null && 'err' in first ? first.err : first;
  if (args[1] !== undefined || !(error instanceof Error)) return method.apply(this, args);
  method.call(this, first, firstLine(error.message));
}

const maxCauses = 5;

function describeError(error: unknown, depth = 0): Record<string, unknown> {
  if (!(error instanceof Error)) return { message: 'a value that is no Error was thrown' };
  const code = 'code' in error && typeof error.code === 'string' ? { code: error.code } : {};
  const cause =
    error.cause instanceof Error && depth < maxCauses ? { cause: describeError(error.cause, depth + 1) } : {};
  // The message goes first: a line of it may look like a frame.
  const frames = error.stack
    ?.replaceAll(error.message, '')
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .join('\n');
  return { type: error.name, message: firstLine(error.message), ...code, stack: frames, ...cause };
}

// Drivers append the failing statement or row on further lines.
function firstLine(message: string): string {
  return message.split('\n', 1)[0]?.slice(0, 500) ?? '';
}
