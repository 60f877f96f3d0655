import { createEvent, type EventOf } from '@prequal/schema';
import { childOf, type Logger } from '@prequal/service';
import { v5 as uuidFrom } from 'uuid';
import type { Bureau } from './bureau/bureau.ts';

export type ScoringDeps = {
  bureau: Bureau;
  /** Throws `PanUnreadableError`. */
  decryptPan: (ciphertext: Buffer, applicationId: string) => string;
  /** Resolves once the broker has stored the report. */
  publishReport: (event: EventOf<'creditReportGenerated'>) => Promise<void>;
  now: () => Date;
  log: Logger;
};

/**
 * An application was submitted: asks the bureau and publishes its report. The report's id follows from
 * the submission's, so that the broker drops the second report of a message that was delivered twice.
 */
export async function onApplicationSubmitted(
  deps: ScoringDeps,
  submitted: EventOf<'applicationSubmitted'>,
): Promise<void> {
  const { data, subject: applicationId } = submitted;
  const report = await deps.bureau.report(
    {
      applicationId,
      panNumber: deps.decryptPan(Buffer.from(data.panCiphertext, 'base64'), applicationId),
      monthlyIncomePaise: data.monthlyIncomeInr,
      loanType: data.loanType,
    },
    { correlationId: submitted.correlationid, traceparent: submitted.traceparent },
  );
  const trace = { correlationId: submitted.correlationid, traceparent: childOf(submitted.traceparent) };
  await deps.publishReport(
    createEvent('creditReportGenerated', {
      id: uuidFrom('credit-report', submitted.id),
      source: 'scoring',
      applicationId,
      time: deps.now(),
      trace,
      data: { report },
    }),
  );
  deps.log.info({ applicationId, ...trace }, 'credit report published');
}
