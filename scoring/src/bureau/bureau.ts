import type { BureauReport, LoanType } from '@prequal/schema';

/** What a bureau is asked. It holds a PAN in clear: it is never logged and never stored. */
type BureauRequest = {
  applicationId: string;
  panNumber: string;
  monthlyIncomePaise: number;
  loanType: LoanType;
};

/** The port to a credit bureau. Throws when the bureau cannot answer now. */
export type Bureau = { report: (request: BureauRequest) => Promise<BureauReport> };
