import type { Report } from './report.ts';

/** The figures as tables, with their ratio to an earlier run's when there is one. */
export function markdownOf(report: Report, earlier: Report | undefined): string {
  const { machine, node, commit, command, endedAt } = report;
  const about = [
    `${endedAt.slice(0, 10)}, commit ${commit}, \`${command}\``,
    `${machine.processor}, ${machine.cores} cores, ${machine.memoryGb} GB, ${machine.system}, Node ${node}`,
    ...(earlier ? [`Last column: ratio to ${earlier.commit} of ${earlier.endedAt.slice(0, 10)}`] : []),
  ];
  const tables = report.scenarios.map((scenario) => tableOf(scenario, earlier));
  return [about.join('  \n'), ...tables].join('\n\n');
}

function tableOf({ scenario, seconds, failures, figures }: Report['scenarios'][number], earlier: Report | undefined) {
  const before = earlier?.scenarios.find((other) => other.scenario === scenario)?.figures;
  const rows = figures.map(({ name, unit, median, min, max, samples }) => {
    const other = before?.find((figure) => figure.name === name);
    const ratio = earlier ? ` ${other ? (median / other.median).toFixed(2) : '–'} |` : '';
    return `| ${name} | ${unit} | ${short(median)} | ${short(min)} | ${short(max)} | ${samples.length} |${ratio}`;
  });
  return [
    `### ${scenario} (${seconds} s${failures.length > 0 ? `, ${failures.length} failures` : ''})`,
    '',
    `| figure | unit | median | min | max | repeats |${earlier ? ' ratio |' : ''}`,
    `|---|---|---|---|---|---|${earlier ? '---|' : ''}`,
    ...rows,
  ].join('\n');
}

/** Three digits or all before the point. */
function short(value: number): string {
  if (Number.isNaN(value)) return '–';
  const magnitude = Math.abs(value);
  const digits = magnitude >= 100 ? 0 : magnitude >= 10 ? 1 : 2;
  return value.toFixed(digits);
}
