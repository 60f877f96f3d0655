import type { Happening } from '../history.ts';
import type { Load } from '../load.ts';
import type { Random } from '../random.ts';
import type { System } from '../system.ts';

/** A message that was put into a stream and is to become a dead letter, unless the stream was lost. */
export type Planted = { subject: string; errorClass: string; atMs: number };

export type World = {
  system: System;
  load: Load;
  planted: Planted[];
  note: (what: string, detail?: Happening['detail']) => void;
  nowMs: () => number;
  /** everything is to heal: what is not begun is left */
  healing: AbortSignal;
  /** server or service that one fault has to itself; undefined when another has it */
  take: (name: string) => Disposable | undefined;
};

/** One thing that goes wrong. It lasts until its time is over or everything is to heal, and leaves nothing behind. */
export type Fault = {
  name: string;
  /** Streams lose messages: what was planted before may be gone, and the reconciler has to work. */
  losesMessages?: boolean;
  /** Only in the first third of a round, since what follows takes its time. */
  early?: boolean;
  run: (world: World, random: Random, lasts: (limitMs?: number) => Promise<void>) => Promise<void>;
};
