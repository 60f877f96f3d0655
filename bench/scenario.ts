import type { LoadProcess } from './load-process.ts';
import type { Options } from './options.ts';
import type { ScenarioResult } from './result.ts';
import type { Servers } from './servers.ts';

export type Bench = {
  servers: Servers;
  load: LoadProcess;
  options: Options;
  say: (sentence: string) => void;
};

export type Scenario = (bench: Bench) => Promise<Omit<ScenarioResult, 'scenario' | 'seconds'>>;
