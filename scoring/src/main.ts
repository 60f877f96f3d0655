import { run } from '@prequal/service';
import { startScoring } from './start.ts';

await run(startScoring);
