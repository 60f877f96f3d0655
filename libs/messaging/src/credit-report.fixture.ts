import { randomUUID } from 'node:crypto';
import { createEvent, type EventOf } from '@prequal/schema';

export type Report = EventOf<'creditReportGenerated'>;

/** An event for tests; each is about an application of its own. */
export function report(id: string = randomUUID()): Report {
  return createEvent('creditReportGenerated', {
    id,
    source: 'scoring',
    applicationId: randomUUID(),
    time: new Date(),
    trace: { correlationId: 'a-test', traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` },
    data: { report: { result: 'SCORED', score: 700, bureau: 'simulated' } },
  });
}
