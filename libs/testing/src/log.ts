import { createLog, type Logger } from '@prequal/service';

/** Says nothing. */
export const quiet: Logger = createLog('test', 'silent', { write: () => undefined });

/** A log whose lines can be read, as they would stand in the output. */
export function recordedLog(): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  return { lines, log: createLog('test', 'trace', { write: (line) => void lines.push(line) }) };
}
