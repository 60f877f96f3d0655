import type { BureauReport, LoanType } from '@prequal/schema';
import type { Trace } from '@prequal/service';

/** What a bureau is asked. It holds a PAN in clear: it is never logged and never stored. */
export type BureauRequest = {
  applicationId: string;
  panNumber: string;
  monthlyIncomePaise: number;
  loanType: LoanType;
};

/**
 * The port to a credit bureau. Throws `BureauAwayError` when it is the bureau's fault and not the
 * application's, and `BureauError` when this one call has failed.
 */
export type Bureau = { report: (request: BureauRequest, trace: Trace) => Promise<BureauReport> };

/** The bureau answers nobody at the moment: what was to be asked is kept and asked later, without being counted. */
export class BureauAwayError extends Error {
  override readonly name = 'BureauAwayError';
}

/**
 * Why a call failed. `unavailable`: no answer, or none worth the name (connection, 5xx, 429). `timeout`: none
 * in time. `rejected`: the bureau does not take this one request (400, 409, 413, 422). `refused`: it takes none of
 * ours (other statuses, e.g. for a wrong token). `invalid`: an answer that cannot be true.
 */
export type BureauFailure = 'unavailable' | 'timeout' | 'rejected' | 'refused' | 'invalid';

/** A call to the bureau failed. The message holds a status or the rule that was broken, never what was sent or said. */
export class BureauError extends Error {
  override readonly name = 'BureauError';
  readonly failure: BureauFailure;
  constructor(failure: BureauFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.failure = failure;
  }
}
