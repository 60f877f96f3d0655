import type { ScenarioName } from '../options.ts';
import type { Scenario } from '../scenario.ts';
import { accept } from './accept.ts';
import { edge } from './edge.ts';
import { growth } from './growth.ts';
import { latency } from './latency.ts';
import { pipeline } from './pipeline.ts';
import { soak } from './soak.ts';
import { watchers } from './watchers.ts';

export const scenarios: Record<ScenarioName, Scenario> = { edge, accept, pipeline, latency, watchers, growth, soak };
