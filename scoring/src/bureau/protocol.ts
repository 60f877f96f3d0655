import { cibilScoreRange, loanTypes, rupees } from '@prequal/schema';
import { z } from 'zod';

/**
 * What is said over HTTP between scoring and a bureau; docs/bureau.md tells it to whoever runs one.
 *
 *   POST {BUREAU_URL}/v1/credit-reports
 *   {"applicationId":"019a…","panNumber":"…","loanType":"AUTO","monthlyIncomeInr":"50000.00"}
 *
 *   200 {"applicationId":"019a…","result":"SCORED","score":742}
 *   200 {"applicationId":"019a…","result":"NO_HISTORY"}
 *   404 {"code":"NOT_FOUND"}        nobody is known by this PAN, which is no history either
 *
 * The PAN stands in the body and nowhere else. Requests carry `traceparent`, `x-correlation-id` and, when there
 * is a token, `authorization: Bearer …`. A request that was not answered is sent again, also hours later: the
 * application's id tells the bureau that it is the same one.
 */
export const creditReportsPath = '/v1/credit-reports';

export const creditReportRequest = z.object({
  applicationId: z.uuid(),
  panNumber: z.string().regex(/^[A-Z]{5}[0-9]{4}[A-Z]$/),
  loanType: z.enum(loanTypes),
  monthlyIncomeInr: rupees,
});

/** The answer 200. `applicationId` repeats the request's; any other fields are ignored. */
export const creditReportAnswer = z.discriminatedUnion('result', [
  z.object({
    applicationId: z.string(),
    result: z.literal('SCORED'),
    score: z.int().min(cibilScoreRange.min).max(cibilScoreRange.max),
  }),
  z.object({ applicationId: z.string(), result: z.literal('NO_HISTORY') }),
]);

/** The answer 404. A 404 without it is that of a wrong address. */
export const notFoundAnswer = z.object({ code: z.literal('NOT_FOUND') });

/** Of a body, in either direction and after decompression. */
export const maxBodyBytes = 16_384;
