import { randomUUID } from 'node:crypto';
import { subjectOf } from '@prequal/schema';
import { type TestNats, test } from '@prequal/testing';
import { AckPolicy } from 'nats';
import { expect } from 'vitest';
import { provision } from './provision.ts';
import { openPuller } from './pull.ts';

/** Publishes without a pause until the answer is disposed. */
async function streaming({ broker }: TestNats): Promise<AsyncDisposable> {
  const { js } = await broker.jetStream();
  const stopping = new AbortController();
  const done = (async () => {
    while (!stopping.signal.aborted) {
      await Promise.all(Array.from({ length: 5 }, () => js.publish(subjectOf('statusChanged', randomUUID()), '{}')));
    }
  })();
  return {
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await done;
    },
  };
}

test('a request that is not filled ends in its time also when the server does not say so', async ({ nats }) => {
  const { jsm } = await nats.broker.jetStream();
  await provision(jsm, { replicas: 1, ackWaitMs: 30_000 });
  await jsm.consumers.add('LOAN_STATUS', { durable_name: 'all', ack_policy: AckPolicy.Explicit });
  await using _stream = await streaming(nats);
  let taken = 0;
  await using puller = await openPuller(nats.broker, { stream: 'LOAN_STATUS', durable: 'all' }, (message) => {
    taken += 1;
    message.ack();
  });
  for (let request = 0; request < 6; request += 1) {
    const [before, begun] = [taken, performance.now()];
    await puller.pull(1_000_000);
    expect(performance.now() - begun).toBeLessThan(1_500);
    expect(taken).toBeGreaterThan(before);
  }
});
