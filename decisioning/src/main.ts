import { run } from '@prequal/service';
import { startDecisioning } from './start.ts';

await run(startDecisioning);
