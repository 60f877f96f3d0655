import { randomBytes, randomUUID } from 'node:crypto';
import { type Broker, publishMessage, toMessage } from '@prequal/messaging';
import { createEvent } from '@prequal/schema';

/** most messages that JetStream has not confirmed yet */
const inFlight = 256;

/** Publishes a status of this version for each application, as decisioning would, as fast as JetStream takes them. */
export async function announce(broker: Broker, applicationIds: readonly string[], version: number): Promise<void> {
  const time = new Date();
  const messages = applicationIds
    .map((applicationId) =>
      toMessage(
        'statusChanged',
        createEvent('statusChanged', {
          id: randomUUID(),
          source: 'decisioning',
          applicationId,
          time,
          trace: { correlationId: randomUUID(), traceparent: `00-${hex(16)}-${hex(8)}-01` },
          // Watchers of a final status would leave.
          data: { status: 'MANUAL_REVIEW', version, cibilScore: null, reasons: [reason] },
        }),
      ),
    )
    .values();
  const publishers = Array.from({ length: inFlight }, async () => {
    for (const message of messages) await publishMessage(broker, message);
  });
  await Promise.all(publishers);
}

const reason = { code: 'NO_CREDIT_HISTORY', message: 'The credit bureau knows no history, so a person looks at it.' };
const hex = (bytes: number) => randomBytes(bytes).toString('hex');
