import { setPriority } from 'node:os';

/** Far above what a policy for people needs: the check of one, with all its trials, stays below half of it. */
const memoryMaxBytes = 512 * 1024 * 1024;
const lookEveryMs = 50;

/**
 * The first thing in a process that evaluates documents: it ends with the one that started it, and when a document
 * fills its memory. The engine's threads leave the event loop free to look.
 */
export function confine({ niceness }: { niceness: number }): void {
  setPriority(niceness);
  process.once('disconnect', () => process.exit());
  // A terminal or a supervisor that stops all processes at once: the one that started it may still ask.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined);
  setInterval(() => {
    // Nothing orderly: the engine's threads are busy and would be waited for.
    if (process.memoryUsage.rss() > memoryMaxBytes) process.kill(process.pid, 'SIGKILL');
  }, lookEveryMs);
}
