import { run } from '@prequal/service';
import { startBureauSimulator } from './start.ts';

await run(startBureauSimulator);
