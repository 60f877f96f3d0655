import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { OnSpawn } from '@prequal/local-stack';
import { type Facts, readStored, type Stored } from './facts.ts';
import type { World } from './faults/fault.ts';
import { createHistory, type History } from './history.ts';
import { checkInvariants, type Violation } from './invariants.ts';
import { createLoad } from './load.ts';
import type { Options } from './options.ts';
import { planRound } from './plan.ts';
import { findPersonalData } from './privacy.ts';
import { untilQuiet } from './quiet.ts';
import { findLeaks, readBaseLine } from './resources.ts';
import { faultPhase } from './round.ts';
import { type System, startSystem } from './system.ts';

export type Result = {
  seed: number;
  violations: Violation[];
  /** applications by what became of them */
  outcomes: Record<string, number>;
  submissions: number;
  attempts: number;
  watchers: number;
  updates: number;
  deadLetters: number;
  /** how often each fault was carried out */
  faults: Record<string, number>;
  /** of each round, from healing until nothing was under way */
  healedMs: (number | null)[];
  /** logs, history and data, kept when anything is wrong */
  folder: string;
};

type Deps = { say: (sentence: string) => void; onSpawn: OnSpawn };

/** Runs it all; the answer tells what did not hold. Throws only when the harness itself cannot work. */
export async function runChaos(options: Options, deps: Deps): Promise<{ result: Result; history: History }> {
  const folder = await mkdtemp(path.join(tmpdir(), 'prequal-chaos-'));
  // As root, PostgreSQL runs as another user, who must be able to enter.
  await chmod(folder, 0o755);
  await using history = createHistory(path.join(folder, 'history.jsonl'));
  const result = await runRounds(options, folder, history, deps);
  if (result.violations.length === 0 && !options.keep) await rm(folder, { recursive: true, force: true });
  return { result, history };
}

async function runRounds(options: Options, folder: string, history: History, { say, onSpawn }: Deps): Promise<Result> {
  const { seed, rate, faults } = options;
  say(`seed ${seed}, starting in ${folder}`);
  await using system = await startSystem(folder, history, onSpawn);
  const gatewayUrls = system.clientLinks.map(({ port }) => `http://127.0.0.1:${port}`);
  await using load = createLoad({ seed, rate, gatewayUrls, history });
  const baseLine = await readBaseLine(system);
  const told: Told = {
    submissions: load.submissions,
    watchers: load.watchers,
    planted: [],
    lostMessagesAtMs: undefined,
  };
  const onLoss = () => {
    told.lostMessagesAtMs = history.nowMs();
  };
  const healedMs: Result['healedMs'] = [];
  const violations: Violation[] = [];

  for (const [index, lastsMs] of roundsOf(options).entries()) {
    const plan = planRound({ seed: seed + index, faults, lastsMs });
    say(`round ${index + 1}: ${lastsMs / 1_000} s with ${plan.length} faults`);
    await faultPhase({ system, load, history, planted: told.planted, say, onLoss }, plan, lastsMs);
    history.note('healing', 'all');
    const quiet = await untilQuiet(system, load, options.boundS * 1_000);
    healedMs.push('tookMs' in quiet ? quiet.tookMs : null);
    say('tookMs' in quiet ? `healed within ${quiet.tookMs} ms` : `not healed: ${quiet.left.join(', ')}`);
    say('checking');
    await load.leave();
    violations.push(...(await findViolations(system, told, quiet)), ...(await findLeaks(system, baseLine)));
    // What is broken stays broken: another round would only bury it.
    if (violations.length > 0) break;
  }
  say('looking for personal data');
  violations.push(...(await findPersonalData(system)));
  say('stopping');
  return summarize({ options, folder, history, healedMs, violations, told, stored: await readStored(system) });
}

function roundsOf({ durationS, roundS }: Options): number[] {
  const count = Math.ceil(durationS / roundS);
  return Array.from({ length: count }, () => (durationS / count) * 1_000);
}

type Told = Omit<Facts, keyof Stored> & { planted: World['planted'] };

async function findViolations(
  system: System,
  told: Told,
  quiet: Awaited<ReturnType<typeof untilQuiet>>,
): Promise<Violation[]> {
  const invariant = 'all is quiet again within the bound';
  return [
    ...('left' in quiet ? [{ invariant, who: 'all', what: quiet.left.join(', ') }] : []),
    ...checkInvariants({ ...told, ...(await readStored(system)) }),
    ...wrongExits(system),
  ];
}

function wrongExits({ services }: System): Violation[] {
  return services.flatMap(({ name, wrongExits: exits }) =>
    exits.map((what) => ({ invariant: 'a process ends only when it is told to, and in order', who: name, what })),
  );
}

function summarize(run: {
  options: Options;
  folder: string;
  history: History;
  healedMs: Result['healedMs'];
  violations: Violation[];
  told: Told;
  stored: Stored;
}): Result {
  const count = (names: string[]) =>
    Object.fromEntries(
      Map.groupBy(names, (name) => name)
        .entries()
        .map(([name, all]) => [name, all.length]),
    );
  const { submissions, watchers } = run.told;
  return {
    seed: run.options.seed,
    violations: run.violations,
    outcomes: count([...run.stored.applications.values()].map(({ status }) => status)),
    submissions: submissions.length,
    attempts: submissions.reduce((sum, { attempts }) => sum + attempts, 0),
    watchers: watchers.length,
    updates: watchers.reduce((sum, { updates }) => sum + updates.length, 0),
    deadLetters: run.stored.deadLetters.length,
    faults: count(
      run.history
        .all()
        .filter(({ what }) => what === 'fault begins')
        .map(({ who }) => who),
    ),
    healedMs: run.healedMs,
    folder: run.folder,
  };
}
