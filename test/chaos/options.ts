import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { faultNames } from './faults/catalogue.ts';

export type Options = {
  seed: number;
  /** of load with faults; time to heal comes on top, once a round */
  durationS: number;
  roundS: number;
  /** submissions a second */
  rate: number;
  /** what may happen; the seed says when */
  faults: string[];
  /** after healing, everything must be as it should within this time */
  boundS: number;
  json: boolean;
  /** keeps logs and data also when all is well */
  keep: boolean;
};

export const usage = `npm run chaos -- [options]

Runs two gateways, two scoring and two decisioning processes, PostgreSQL and nats-server, submits and watches as
clients do, and makes things fail; then lets them heal and looks whether what was promised holds.

  --seed N        repeats what another run did; printed at the start (default: any)
  --duration S    seconds with faults, in rounds of at most --round (default 60)
  --round S       seconds of faults before everything is healed and checked (default 60)
  --rate N        submissions a second (default 50)
  --faults LIST   comma-separated, or none, or all (the default), e.g. kill,stop or all,-kill; there are
                  ${faultNames.join(' ').replaceAll(/(.{1,90})(?: |$)/g, '$1\n                  ')}
  --bound S       seconds after healing within which everything must be in order (default 30)
  --json          the result as JSON on standard output, progress on standard error
  --keep          keeps logs, history and data although nothing was wrong`;

/** Throws an Error for people. */
export function readOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      seed: { type: 'string' },
      duration: { type: 'string', default: '60' },
      round: { type: 'string', default: '60' },
      rate: { type: 'string', default: '50' },
      faults: { type: 'string', default: 'all' },
      bound: { type: 'string', default: '30' },
      json: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
    },
  });
  return {
    seed: values.seed === undefined ? randomInt(1, 2 ** 31) : wholeNumber('seed', values.seed),
    durationS: wholeNumber('duration', values.duration),
    roundS: wholeNumber('round', values.round),
    rate: wholeNumber('rate', values.rate),
    faults: chosenFaults(values.faults),
    boundS: wholeNumber('bound', values.bound),
    json: values.json,
    keep: values.keep,
  };
}

function wholeNumber(option: string, text: string): number {
  if (!/^[1-9]\d{0,9}$/.test(text)) throw new Error(`--${option} must be a whole number, 1 or more.`);
  return Number(text);
}

function chosenFaults(text: string): string[] {
  if (text === 'none') return [];
  const words = text.split(',').map((word) => word.trim());
  const unknown = words.filter((word) => word !== 'all' && !faultNames.includes(word.replace(/^-/, '')));
  if (unknown.length > 0)
    throw new Error(`There is no fault ${unknown.join(', ')}. There are: ${faultNames.join(' ')}`);
  const named = words.filter((word) => !word.startsWith('-') && word !== 'all');
  const chosen = named.length > 0 && !words.includes('all') ? named : faultNames;
  return chosen.filter((name) => !words.includes(`-${name}`));
}
