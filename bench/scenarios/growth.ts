import { openDatabase } from '@prequal/persistence';
import { fillApplications } from '../fill.ts';
import type { LoadProcess } from '../load-process.ts';
import { createRecorder } from '../result.ts';
import type { Scenario } from '../scenario.ts';
import type { DatabaseUrls } from '../servers.ts';
import { type System, startSystem } from '../system.ts';
import { acceptFor } from './accept.ts';
import { arriveFor } from './latency.ts';

const rate = 300;

/** Whether it matters how many applications are stored: the same system several times, asked in turns. */
export const growth: Scenario = async ({ servers, load, options, say }) => {
  // Before the first checkpoint is followed by so much, a page of a large index is written whole for nearly each row.
  const [repeats, seconds, warmUpSeconds] = options.quick ? [2, 2, 1] : [5, 8, 20];
  const times = options.repeats ?? repeats;
  const recorder = createRecorder();
  const failures: string[] = [];
  await using stack = new AsyncDisposableStack();
  const systems: { stored: number; prefix: string; system: System }[] = [];
  for (const stored of options.stored) {
    say(`growth: storing ${stored} applications`);
    const begunAt = performance.now();
    const fill = ({ owner }: DatabaseUrls) => fillDatabase(owner, stored);
    const system = stack.use(await startSystem(servers, { name: `growth-${stored}`, workers: true, fill }));
    recorder.add(`${stored} stored: until filled and started`, 's', (performance.now() - begunAt) / 1_000);
    systems.push({ stored, prefix: `${stored} stored: `, system });
  }
  for (const { system } of systems) {
    await load.run('arrivals', { url: system.url, rate, seconds, sockets: 20 });
    await load.run('requests', { url: system.url, kind: 'submit', connections: 128, seconds: warmUpSeconds });
    await untilDecided(load, system);
  }
  for (let repeat = 1; repeat <= times; repeat += 1) {
    say(`growth: repeat ${repeat} of ${times}`);
    const accepted: number[] = [];
    for (const { prefix, system } of systems) {
      const result = await acceptFor(seconds / 2, { system, load, recorder, prefix });
      failures.push(...result.faults);
      accepted.push(result.perSecond);
      await untilDecided(load, system);
    }
    const pushed: number[] = [];
    for (const { prefix, system } of systems) {
      const result = await arriveFor(seconds, rate, { system, load, recorder, prefix: `${prefix}at ${rate}/s, ` });
      failures.push(...result.faults);
      pushed.push(result.pushedMs.p50);
    }
    for (const [index, { stored }] of systems.entries()) {
      if (index === 0) continue;
      const against = `${stored} against ${systems[0]?.stored} stored`;
      recorder.add(`${against}: accepted`, 'ratio', (accepted[index] ?? 0) / (accepted[0] ?? 0));
      recorder.add(`${against}: pushed at ${rate}/s, p50`, 'ratio', (pushed[index] ?? 0) / (pushed[0] ?? 0));
    }
  }
  const series = [
    {
      name: 'accepted',
      points: systems.map(({ stored, prefix }): [number, number] => [stored, recorder.median(`${prefix}accepted`)]),
    },
  ];
  const plot = {
    file: 'growth',
    title: 'Accepted over stored applications',
    x: 'stored',
    y: 'submissions a second',
    series,
  };
  return { figures: recorder.figures(), plots: [plot], failures };
};

/** What was accepted at once is decided before the next one is measured: whoever comes last is. */
async function untilDecided(load: LoadProcess, { url }: System): Promise<void> {
  await load.run('applicants', { url, applicants: 1, sockets: 1, seconds: 0.1 });
}

async function fillDatabase(databaseUrl: string, applications: number): Promise<void> {
  if (applications === 0) return;
  const statementTimeoutMs = 30 * 60_000;
  await using database = await openDatabase({ databaseUrl, poolMax: 1, applicationName: 'bench', statementTimeoutMs });
  await fillApplications(database, applications, 3);
}
