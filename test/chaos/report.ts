import type { Result } from './chaos.ts';
import type { History } from './history.ts';
import { invariants, type Violation } from './invariants.ts';

const mostShown = 5;
const mostHappenings = 40;

/** The summary for people, a line each. */
export function summaryOf(result: Result): string[] {
  const { outcomes, faults, healedMs, violations } = result;
  const line = (label: string, value: string) => `  ${label.padEnd(22)}${value}`;
  const pairs = (counts: Record<string, number>) =>
    Object.entries(counts)
      .map(([name, count]) => `${name} ${count}`)
      .toSorted()
      .join(', ') || 'none';
  const broken = new Map(Map.groupBy(violations, ({ invariant }) => invariant));
  const names = new Set([...invariants.map(({ name }) => name), ...broken.keys()]);
  return [
    line('seed', String(result.seed)),
    line('submissions', `${result.submissions} in ${result.attempts} attempts`),
    line('became', pairs(outcomes)),
    line('watchers', `${result.watchers}, who saw ${result.updates} updates`),
    line('dead letters', String(result.deadLetters)),
    line('faults', pairs(faults)),
    line(
      'healed within',
      healedMs.map((took) => (took === null ? 'not at all' : `${(took / 1_000).toFixed(1)} s`)).join(', '),
    ),
    ...[...names].map((name) => {
      const count = broken.get(name)?.length ?? 0;
      return `  ${count === 0 ? 'holds ' : 'BROKEN'}  ${name}${count === 0 ? '' : `: ${count} times`}`;
    }),
  ];
}

/** The violations, and of the first ones what had happened to them and around them. */
export function storyOf({ violations, folder, seed }: Result, history: History): string[] {
  const shown = Map.groupBy(violations, ({ invariant }) => invariant);
  const lines: string[] = [];
  for (const [invariant, broken] of shown) {
    lines.push('', invariant);
    for (const violation of broken.slice(0, mostShown)) lines.push(`  ${violation.who}: ${violation.what}`);
    if (broken.length > mostShown) lines.push(`  and ${broken.length - mostShown} more`);
    if (broken[0]) lines.push(...historyOf(broken[0], history));
  }
  return [...lines, '', `Logs, history and data: ${folder}. Again: npm run chaos -- --seed ${seed}`];
}

function historyOf({ who }: Violation, history: History): string[] {
  const all = history.all();
  const own = all.filter((happening) => concerns(happening.who, happening.detail, who));
  const [first, last] = [own[0]?.atMs, own.at(-1)?.atMs];
  if (first === undefined || last === undefined) return [];
  const around = all.filter(
    ({ what, atMs }) => /^(fault|process|server|healing)/.test(what) && atMs >= first - 2_000 && atMs <= last + 2_000,
  );
  return [...own, ...around]
    .toSorted((a, b) => a.atMs - b.atMs)
    .slice(0, mostHappenings)
    .map(({ atMs, what, who: whom, detail }) => {
      const rest = Object.keys(detail).length > 0 ? ` ${JSON.stringify(detail)}` : '';
      return `    ${(atMs / 1_000).toFixed(3).padStart(8)} s  ${what}: ${whom}${rest}`;
    });
}

function concerns(whom: string, detail: Record<string, unknown>, who: string): boolean {
  return whom === who || detail['key'] === who || detail['subject'] === who;
}
