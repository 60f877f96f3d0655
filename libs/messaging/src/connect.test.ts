import { Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { test } from '@prequal/testing';
import { expect, vi } from 'vitest';
import { report } from './credit-report.fixture.ts';
import { provision } from './provision.ts';
import { publishMessage, toMessage } from './publish.ts';

test('what is sent in one turn of the event loop is one write', async ({ nats }) => {
  const { jsm } = await nats.broker.jetStream();
  await provision(jsm, { replicas: 1, ackWaitMs: 1_000 });
  const writes = vi.spyOn(Socket.prototype, 'write');
  await Promise.all(
    Array.from({ length: 50 }, async () => {
      await setImmediate();
      await publishMessage(nats.broker, toMessage('creditReportGenerated', report()));
    }),
  );
  const sent = writes.mock.calls.filter(([data]) => Buffer.from(data).includes('HPUB'));
  writes.mockRestore();
  expect(sent.length).toBeLessThanOrEqual(2);
  const { state } = await jsm.streams.info('LOAN_CREDIT_REPORTS');
  expect(state.messages).toBe(50);
});
