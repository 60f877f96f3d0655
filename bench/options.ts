import { parseArgs } from 'node:util';

export const scenarioNames = ['edge', 'accept', 'pipeline', 'latency', 'watchers', 'growth', 'soak'] as const;
export type ScenarioName = (typeof scenarioNames)[number];

export type Options = {
  only: ScenarioName[];
  quick: boolean;
  /** folder for the report */
  out: string;
  /** an earlier report's JSON */
  compare: string | undefined;
  /** stored applications that growth looks at */
  stored: number[];
  /** of each measurement; undefined: as many as the scenario likes */
  repeats: number | undefined;
  /** a CPU profile of each process as well */
  profile: boolean;
  /** of the soak */
  minutes: number;
};

const byDefault = scenarioNames.filter((name) => name !== 'soak');
const quickly = ['edge', 'accept', 'pipeline', 'latency', 'watchers'] as const;

export const usage = `npm run bench -- [options]

Measures the gateway, the pipeline and its watchers on servers of its own, beside others in the same run, and writes
results.json, results.md and plots. Ends with 1 when an answer was wrong or missing, never because something was slow.

  --only LIST     comma-separated scenarios: ${scenarioNames.join(', ')}
                  (default: all but soak)
  --quick         under a minute: ${quickly.join(', ')}, each short
  --out FOLDER    for the report (default bench/results)
  --compare FILE  prints each figure's ratio to that of an earlier results.json
  --stored LIST   stored applications that growth looks at (default 0,1000000,5000000)
  --repeats N     of each measurement (default 5, for latency 3; 1 or 2 with --quick)
  --profile       writes a CPU profile of each process as well, which costs some of what is measured
  --minutes N     how long the soak takes (default 15)`;

/** Throws an Error for people. */
export function readOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: 'string' },
      quick: { type: 'boolean', default: false },
      out: { type: 'string', default: 'bench/results' },
      compare: { type: 'string' },
      stored: { type: 'string', default: '0,1000000,5000000' },
      repeats: { type: 'string' },
      profile: { type: 'boolean', default: false },
      minutes: { type: 'string', default: '15' },
    },
  });
  return {
    only: values.only === undefined ? [...(values.quick ? quickly : byDefault)] : chosenScenarios(values.only),
    quick: values.quick,
    out: values.out,
    compare: values.compare,
    stored: values.stored.split(',').map((text) => wholeNumber('stored', text, 0)),
    repeats: values.repeats === undefined ? undefined : wholeNumber('repeats', values.repeats, 1),
    profile: values.profile,
    minutes: wholeNumber('minutes', values.minutes, 1),
  };
}

function chosenScenarios(text: string): ScenarioName[] {
  const words = text.split(',').map((word) => word.trim());
  const unknown = words.filter((word) => !(scenarioNames as readonly string[]).includes(word));
  if (unknown.length > 0) {
    throw new Error(`There is no scenario ${unknown.join(', ')}. There are: ${scenarioNames.join(', ')}.`);
  }
  return scenarioNames.filter((name) => words.includes(name));
}

function wholeNumber(option: string, text: string, least: number): number {
  if (!/^\d{1,9}$/.test(text.trim()) || Number(text) < least) {
    throw new Error(`--${option}: "${text}" is not a whole number, ${least} or more.`);
  }
  return Number(text);
}
