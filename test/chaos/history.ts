import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';

/** What happened, when, and to whom: an application's id, a client's key, a process, a fault. */
export type Happening = { atMs: number; what: string; who: string; detail: Record<string, unknown> };

export type History = AsyncDisposable & {
  note: (what: string, who: string, detail?: Record<string, unknown>) => void;
  /** in the order they happened */
  all: () => readonly Happening[];
  nowMs: () => number;
};

/** Keeps everything in memory, and as JSON lines in a file for people. */
export function createHistory(file: string): History {
  const startedAt = performance.now();
  const nowMs = () => Math.round(performance.now() - startedAt);
  const happenings: Happening[] = [];
  const output: WriteStream = createWriteStream(file);
  return {
    nowMs,
    note: (what, who, detail = {}) => {
      const happening = { atMs: nowMs(), what, who, detail };
      happenings.push(happening);
      output.write(`${JSON.stringify(happening)}\n`);
    },
    all: () => happenings,
    [Symbol.asyncDispose]: async () => {
      output.end();
      await once(output, 'close');
    },
  };
}
