import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, release, type as systemName, totalmem } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Options } from '../options.ts';
import { type ScenarioResult, type Spread, spreadOf } from '../result.ts';
import { markdownOf } from './markdown.ts';
import { svgOf } from './svg.ts';

export type Report = {
  endedAt: string;
  commit: string;
  command: string;
  machine: { processor: string; cores: number; memoryGb: number; system: string };
  node: string;
  scenarios: {
    scenario: string;
    seconds: number;
    failures: string[];
    figures: ({ name: string; unit: string; samples: number[] } & Spread)[];
    plots: ScenarioResult['plots'];
  }[];
};

/** Reads what an earlier run has written. Throws when it is not such a file. */
export async function readReport(file: string): Promise<Report> {
  const report = JSON.parse(await readFile(file, 'utf8')) as Report;
  if (!Array.isArray(report.scenarios)) throw new Error('it has no scenarios');
  if (typeof report.endedAt !== 'string') throw new Error('it does not say when it ended: an older one says startedAt');
  return report;
}

/** Writes results.json, results.md and the plots. */
export async function writeReport(options: Options, results: readonly ScenarioResult[], earlier: Report | undefined) {
  await mkdir(options.out, { recursive: true });
  const report = await reportOf(results);
  const markdown = markdownOf(report, earlier);
  const files = new Map([
    ['results.json', `${JSON.stringify(report, null, 2)}\n`],
    ['results.md', `${markdown}\n`],
    ...results.flatMap(({ plots }) => plots.map((plot) => [`${plot.file}.svg`, svgOf(plot)] as const)),
  ]);
  const written = [...files.keys()].map((name) => path.join(options.out, name));
  await Promise.all([...files.values()].map((text, index) => writeFile(written[index] ?? '', text)));
  return { markdown, written };
}

async function reportOf(results: readonly ScenarioResult[]): Promise<Report> {
  return {
    endedAt: new Date().toISOString(),
    commit: await commit(),
    command: `npm run bench -- ${process.argv.slice(2).join(' ')}`.trim(),
    machine: {
      processor: cpus()[0]?.model ?? 'unknown',
      cores: availableParallelism(),
      memoryGb: Math.round(totalmem() / 1e9),
      system: `${systemName()} ${release()}`,
    },
    node: process.version,
    scenarios: results.map(({ figures, ...rest }) => ({
      ...rest,
      figures: figures.map((figure) => ({ ...figure, ...spreadOf(figure.samples) })),
    })),
  };
}

async function commit(): Promise<string> {
  const asked = promisify(execFile)('git', ['describe', '--always', '--dirty'], { cwd: import.meta.dirname });
  return asked.then(({ stdout }) => stdout.trim()).catch(() => 'unknown');
}
