import { run } from '@prequal/service';
import { startGateway } from './start.ts';

await run(startGateway);
