import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Facts, readStored } from './facts.ts';
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

/** Runs it all; the answer tells what did not hold. Throws only when the harness itself cannot work. */
export async function runChaos(
  options: Options,
  say: (sentence: string) => void,
): Promise<{ result: Result; history: History }> {
  const folder = await mkdtemp(path.join(tmpdir(), 'prequal-chaos-'));
  // As root, PostgreSQL runs as another user, who must be able to enter.
  await chmod(folder, 0o755);
  await using history = createHistory(path.join(folder, 'history.jsonl'));
  const result = await runRounds(options, folder, history, say);
  if (result.violations.length === 0 && !options.keep) await rm(folder, { recursive: true, force: true });
  return { result, history };
}

async function runRounds(
  options: Options,
  folder: string,
  history: History,
  say: (sentence: string) => void,
): Promise<Result> {
  const { seed, rate, faults, boundS } = options;
  say(`seed ${seed}, starting in ${folder}`);
  await using system = await startSystem(folder, history);
  const gatewayUrls = system.clientLinks.map(({ port }) => `http://127.0.0.1:${port}`);
  await using load = createLoad({ seed, rate, gatewayUrls, history });
  const baseLine = await readBaseLine(system);
  const planted: Facts['planted'][number][] = [];
  let lostMessagesAtMs: number | undefined;
  const onLoss = () => {
    lostMessagesAtMs = history.nowMs();
  };
  const healedMs: Result['healedMs'] = [];
  const violations: Violation[] = [];

  for (
    let leftS = options.durationS, round = 1;
    leftS > 0 && violations.length === 0;
    leftS -= options.roundS, round += 1
  ) {
    const lastsMs = Math.min(leftS, options.roundS) * 1_000;
    const plan = planRound({ seed: seed + round, faults, lastsMs });
    say(`round ${round}: ${lastsMs / 1_000} s with ${plan.length} faults`);
    await faultPhase({ system, load, history, planted, say, onLoss }, plan, lastsMs);
    history.note('healing', 'all');
    const quiet = await untilQuiet(system, load, boundS * 1_000);
    healedMs.push('tookMs' in quiet ? quiet.tookMs : null);
    say('tookMs' in quiet ? `healed within ${quiet.tookMs} ms` : `not healed: ${quiet.left.join(', ')}`);
    await load.leave();
    const facts = {
      submissions: load.submissions,
      watchers: load.watchers,
      planted,
      lostMessagesAtMs,
      ...(await readStored(system)),
    };
    violations.push(
      ...('left' in quiet
        ? [{ invariant: 'all is quiet again within the bound', who: 'all', what: quiet.left.join(', ') }]
        : []),
      ...checkInvariants(facts),
      ...wrongExits(system),
      ...(await findLeaks(system, baseLine)),
    );
  }
  violations.push(...(await findPersonalData(system)));
  return summarize({
    options,
    folder,
    history,
    healedMs,
    violations,
    submissions: load.submissions,
    watchers: load.watchers,
    stored: await readStored(system),
  });
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
  submissions: Facts['submissions'];
  watchers: Facts['watchers'];
  stored: Pick<Facts, 'applications' | 'deadLetters'>;
}): Result {
  const count = (names: string[]) =>
    Object.fromEntries(
      Map.groupBy(names, (name) => name)
        .entries()
        .map(([name, all]) => [name, all.length]),
    );
  const { submissions, watchers, stored } = run;
  return {
    seed: run.options.seed,
    violations: run.violations,
    outcomes: count([...stored.applications.values()].map(({ status }) => status)),
    submissions: submissions.length,
    attempts: submissions.reduce((sum, { attempts }) => sum + attempts, 0),
    watchers: watchers.length,
    updates: watchers.reduce((sum, { updates }) => sum + updates.length, 0),
    deadLetters: stored.deadLetters.length,
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
