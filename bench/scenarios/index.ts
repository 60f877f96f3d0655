import type { ScenarioName } from '../options.ts';
import type { Scenario } from '../scenario.ts';
import { accept } from './accept.ts';
import { edge } from './edge.ts';
import { pipeline } from './pipeline.ts';

export const scenarios: Record<ScenarioName, Scenario> = { edge, accept, pipeline } as never;
