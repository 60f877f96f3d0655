import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

const pollMs = 20;

/** True while a process with this id exists, also one of another user, also a zombie nobody has reaped. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** The command line of a process, arguments separated by spaces; '' when it is gone or a zombie. */
export async function commandLine(pid: number): Promise<string> {
  if (process.platform === 'linux') {
    const raw = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    return raw.replaceAll('\0', ' ').trim();
  }
  return (await runCommand('ps', ['-o', 'command=', '-p', String(pid)])).output.trim();
}

/**
 * When the process began, in a form that is only good for comparing. With the id it names one process
 * for ever: ids are reused, the pair is not. '' when it is gone, also when it is a zombie that nobody reaps
 * (usual in containers).
 */
export async function startTime(pid: number): Promise<string> {
  if (process.platform === 'linux') {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    // The second field is the name in parentheses and may itself contain spaces: count from its end.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? '' : (fields[19] ?? '');
  }
  return (await runCommand('ps', ['-o', 'lstart=', '-p', String(pid)])).output.trim();
}

/** Settles when the child is gone, with the reason in two or three words. Never rejects. */
export function exitOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
}

/** A signal, and how long to wait for the process to end before the next one is sent. */
export type StopStep = { signal: NodeJS.Signals; waitMs: number };

/**
 * Ends a process by sending one signal after the other until it is gone. `gone` may be given when the
 * process is our child (a zombie still looks alive to a poll). Throws when it survives every step.
 */
export async function stopProcess(pid: number, steps: StopStep[], gone?: Promise<unknown>): Promise<void> {
  for (const { signal, waitMs } of steps) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ESRCH') return;
      throw error;
    }
    if (await (gone ? within(gone, waitMs) : untilGone(pid, waitMs))) return;
  }
  throw new Error(`Process ${pid} did not end after ${steps.map((step) => step.signal).join(', ')}.`);
}

async function within(gone: Promise<unknown>, waitMs: number): Promise<boolean> {
  const timer = new AbortController();
  const timeout = delay(waitMs, false, { signal: timer.signal }).catch(() => false);
  const ended = await Promise.race([gone.then(() => true), timeout]);
  timer.abort();
  return ended;
}

async function untilGone(pid: number, waitMs: number): Promise<boolean> {
  const deadline = Date.now() + waitMs;
  while (isAlive(pid)) {
    // A left-over whose parent never reaps it stays a zombie: no command line, and nothing to wait for.
    if ((await commandLine(pid)) === '') return true;
    if (Date.now() > deadline) return false;
    await delay(pollMs);
  }
  return true;
}

export type CommandOptions = {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  input?: string;
  timeoutMs?: number;
  /** Run as this user; only root may ask for it. */
  user?: { uid: number; gid: number } | undefined;
  signal?: AbortSignal | undefined;
};

/**
 * Runs a command to its end. Never rejects: `ok` tells whether it exited with 0, `output` holds what it
 * wrote to stdout and stderr (or why it could not be started). Default timeout: 60 s, then SIGKILL.
 */
export async function runCommand(
  command: string,
  args: string[],
  options: CommandOptions = {},
): Promise<{ ok: boolean; output: string }> {
  const { cwd, env, input, timeoutMs = 60_000, user, signal } = options;
  const child = spawn(command, args, {
    cwd: cwd ?? process.cwd(),
    env: env ?? process.env,
    killSignal: 'SIGKILL', // what the abort signal sends
    ...user,
    ...(signal && { signal }),
  });
  // Not the timeout of spawn: for a program that cannot be started it is never cleared, and holds us up.
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  let output = '';
  const collect = (chunk: Buffer): void => void (output += chunk.toString());
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  child.stdin.on('error', () => undefined); // it may exit without reading: its exit code tells
  child.stdin.end(input);
  try {
    const [code] = (await once(child, 'close')) as [number | null];
    return { ok: code === 0, output };
  } catch (error) {
    return { ok: false, output: `${output}${(error as Error).message}` };
  } finally {
    clearTimeout(timer);
  }
}
