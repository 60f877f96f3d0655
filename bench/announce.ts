import { randomBytes, randomUUID } from 'node:crypto';
import { type Broker, publishMessage, toMessage } from '@prequal/messaging';
import { createEvent } from '@prequal/schema';

/** most messages that JetStream has not confirmed yet */
const inFlight = 256;

/** An application, and the version that its watchers have seen. */
export type Announced = { id: string; version: number };

/** Publishes the next status of each application, as decisioning would, as fast as JetStream takes them. */
export async function announce(broker: Broker, applications: readonly Announced[]): Promise<void> {
  const time = new Date();
  const messages = applications
    .map((application) =>
      toMessage(
        'statusChanged',
        createEvent('statusChanged', {
          id: randomUUID(),
          source: 'decisioning',
          applicationId: application.id,
          time,
          trace: { correlationId: randomUUID(), traceparent: `00-${hex(16)}-${hex(8)}-01` },
          // Watchers of a final status would leave.
          data: { status: 'MANUAL_REVIEW', version: ++application.version, cibilScore: null, reasons: [reason] },
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
