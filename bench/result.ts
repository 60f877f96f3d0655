/** One thing that was measured: each repeat's value, in the order they were taken. */
export type Figure = { name: string; unit: string; samples: number[] };

export type Series = { name: string; points: [x: number, y: number][] };

export type Plot = { file: string; title: string; x: string; y: string; logarithmic?: boolean; series: Series[] };

export type ScenarioResult = {
  scenario: string;
  seconds: number;
  figures: Figure[];
  plots: Plot[];
  /** wrong or missing answers: the figures are not to be trusted then */
  failures: string[];
};

export type Spread = { median: number; min: number; max: number };

export function spreadOf(samples: readonly number[]): Spread {
  const sorted = samples.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const at = (index: number) => sorted[index] ?? Number.NaN;
  const median = Number.isInteger(middle) ? (at(middle - 1) + at(middle)) / 2 : at(Math.floor(middle));
  return { median, min: at(0), max: at(sorted.length - 1) };
}

/** Collects what repeats measure, by name. */
export function createRecorder() {
  const figures = new Map<string, Figure>();
  return {
    add: (name: string, unit: string, value: number | undefined) => {
      if (value === undefined || Number.isNaN(value)) return;
      const figure = figures.get(name) ?? { name, unit, samples: [] };
      figure.samples.push(value);
      figures.set(name, figure);
    },
    figures: () => [...figures.values()],
    median: (name: string) => spreadOf(figures.get(name)?.samples ?? []).median,
  };
}

export type Recorder = ReturnType<typeof createRecorder>;
