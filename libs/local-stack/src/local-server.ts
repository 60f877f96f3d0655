/** A running child as the supervisor sees it: it can be watched and stopped. */
export type RunningProcess = AsyncDisposable & {
  pid: number;
  /** Settles when the process is gone, with a short reason ("exit code 1", "SIGKILL"). Never rejects. */
  exited: Promise<string>;
};

/** A server we started and own. Disposing it stops it and waits until its process is gone. */
export type LocalServer = RunningProcess & {
  /** What a client connects to; for PostgreSQL it contains the password. */
  url: string;
  port: number;
};

/** One sentence about what happens, for the person at the terminal. */
export type Log = (sentence: string) => void;

/** Told of every process at the moment it exists, whether it will become usable or not. */
export type OnSpawn = (pid: number, exited: Promise<string>) => void;
