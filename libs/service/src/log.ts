import { withoutPans } from '@prequal/schema';
import { type DestinationStream, type LogFn, type Logger, pino } from 'pino';
import pretty from 'pino-pretty';

export type { Logger };

/**
 * The service's logger: one JSON object a line on standard output, or readable lines when that is a
 * terminal. Only fields of a list are written, each a plain value; errors by class and message alone, since a
 * database error's detail repeats the row, and the row is somebody's application. The last net takes out
 * whatever looks like a PAN, wherever it came from.
 */
export function createLog(service: string, level: string, destination?: DestinationStream): Logger {
  const options = {
    level,
    base: { service },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }), log: onlyAllowed },
    serializers: { err: (error: unknown) => describeError(error) },
    hooks: { logMethod: withOwnMessage, streamWrite: withoutPans },
  };
  if (destination) return guarded(pino(options, destination));
  if (process.stdout.isTTY || process.env['LOG_PRETTY'] === '1') {
    return guarded(
      pino(options, pretty({ ignore: 'pid,hostname,service', messageFormat: `${service}: {msg}`, sync: true })),
    );
  }
  // What is logged while a write is under way shares the next one. The rest is written when the process exits. While
  // nobody reads them, no more lines than these are kept. As bytes: the stream counts those of a text anew with each
  // line that is added to it.
  const output = pino.destination({ sync: false, maxLength: maxKeptBytes, contentMode: 'buffer' });
  const write = (line: string) => output.write(Buffer.from(line) as never);
  return guarded(pino(options, { write }));
}

const maxKeptBytes = 16 * 1024 * 1024;

const censor = '[redacted]';

/** What a line may hold besides time, level and message. Whoever needs another field adds it here, with care. */
const allowed = new Set(
  `service url reason stopLimitMs open problem behaviour probability seed correlationId traceparent
  applicationId deadLetterId status consumer subject errorClass attempt delayMs
  watchers found published applications breakerResetMs policyVersion mode`.split(/\s+/),
);

/** pino asks no formatter for what a child logger repeats on each line. Its children inherit this. */
function guarded(log: Logger): Logger {
  const child = Reflect.get(log, 'child');
  const setBindings = Reflect.get(log, 'setBindings');
  // Without options: they would replace what keeps the list.
  log.child = function guardedChild(this: Logger, fields: Record<string, unknown>) {
    return child.call(this, onlyAllowed(fields));
  } as typeof log.child;
  log.setBindings = function guardedBindings(this: Logger, fields) {
    setBindings.call(this, onlyAllowed(fields));
  };
  return log;
}

/** The name of what is not allowed stays, so that its author sees what became of it. */
function onlyAllowed(fields: Record<string, unknown>): Record<string, unknown> {
  const isAllowed = (name: string, value: unknown) =>
    // Errors are described by their serializer.
    name === 'err' || (allowed.has(name) && (typeof value !== 'object' || value === null));
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, isAllowed(name, value) ? value : censor]),
  );
}

/**
 * For an error logged without a message pino takes the error's own, with all its lines. And it would put into a message
 * whatever is given for it, or after it: no list says what that may hold.
 */
function withOwnMessage(this: Logger, [first, second]: Parameters<LogFn>, method: LogFn): void {
  if (typeof first === 'string') return method.call(this, first);
  if (typeof first !== 'object' || first === null) return method.call(this, typeof second === 'string' ? second : '');
  const fields: object = first;
  if (typeof second === 'string') return method.call(this, fields, second);
  const error = !(fields instanceof Error) && 'err' in fields ? fields.err : fields;
  if (error instanceof Error) return method.call(this, fields, messageOf(error));
  // pino would take the message of whatever stands there.
  if ('err' in fields) return method.call(this, fields, 'a value that is no Error was thrown');
  method.call(this, fields);
}

const maxCauses = 5;

function describeError(error: unknown, depth = 0): Record<string, unknown> {
  if (!(error instanceof Error)) return { message: 'a value that is no Error was thrown' };
  const code = 'code' in error && typeof error.code === 'string' ? { code: error.code } : {};
  const cause =
    error.cause instanceof Error && depth < maxCauses ? { cause: describeError(error.cause, depth + 1) } : {};
  // The message goes first: a line of it may look like a frame.
  const frames = textOf(error.stack)
    .replaceAll(textOf(error.message), '')
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .join('\n');
  return { type: textOf(error.name), message: messageOf(error), ...code, stack: frames, ...cause };
}

/** Whoever throws may have put anything into an error. */
function textOf(said: unknown): string {
  return typeof said === 'string' ? said : '';
}

const sqlState = /^[0-9A-Z]{5}$/;

/** PostgreSQL quotes a value that it could not read at the end of the message: after a colon. */
function messageOf(error: Error): string {
  const isOfDatabase = 'code' in error && typeof error.code === 'string' && sqlState.test(error.code);
  const message = firstLine(textOf(error.message));
  return isOfDatabase ? message.replace(/: ".*$/, '') : message;
}

// Drivers append the failing statement or row on further lines.
function firstLine(message: string): string {
  return message.split('\n', 1)[0]?.slice(0, 500) ?? '';
}
