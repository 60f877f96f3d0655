import { createLog, createMetrics } from '@prequal/service';
import { connectBroker } from './connect.ts';
import { consume, oneByOne } from './consume.ts';

/**
 * A worker for tests, in a process of its own: told apart from a real one only by what its handler does to
 * the events whose ids are given. `exit` ends the process; `block` stops its event loop for longer than the
 * broker waits; `hang` never ends. Tells its parent the id of each event that it has handled.
 *
 *   node crashing-worker.ts <nats url> <exit|block|hang> <ack wait in ms> <event id>…
 */
const [natsUrl = '', deed, ackWait, ...culprits] = process.argv.slice(2);
const ackWaitMs = Number(ackWait);
const log = createLog('crashing-worker', 'silent');

await using broker = connectBroker({ natsUrl, name: 'crashing-worker', log });
await using _consumer = consume('decisioning', {
  broker,
  log,
  metrics: createMetrics('crashing-worker'),
  provisioning: { replicas: 1, ackWaitMs },
  limits: { maxItems: 50, maxConcurrent: 2 },
  retryDelaysMs: [0],
  isOutage: () => false,
  ...(deed === 'hang' && { handlingMaxMs: 2 * ackWaitMs }),
  handle: oneByOne(async (event) => {
    if (culprits.includes(event.id)) {
      if (deed === 'exit') process.exit(1);
      if (deed === 'hang') await new Promise(() => undefined);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ackWaitMs * 1.3);
    }
    process.send?.(event.id);
  }),
});
await new Promise((resolve) => process.once('disconnect', resolve));
