import { z } from 'zod';
import { applicationStatuses, cibilScoreRange, decisionMakers, loanTypes } from './application.ts';
import { eventKinds } from './event-chain.ts';
import { bureauReport } from './events.ts';

/**
 * What an auditor gets of one application: all that its decisions were made of, and the history, each as it is
 * stored. Neither PAN nor name, so it stays what it is when they are erased.
 */

const instant = z.iso.datetime({ precision: 3 });
const hash = z.string().regex(/^[0-9a-f]{64}$/);
const status = z.enum(applicationStatuses);
const reasons = z.array(z.strictObject({ code: z.string(), message: z.string() }));
const score = z.int().min(cibilScoreRange.min).max(cibilScoreRange.max).nullable();
const consent = z.strictObject({
  purpose: z.string(),
  noticeVersion: z.string(),
  language: z.string(),
  givenAt: instant,
});
/** as it was submitted; of the first event, but for those from before it was written down there */
const statedSchema = {
  monthlyIncomeInr: z.string().optional(),
  loanAmountInr: z.string().optional(),
  loanType: z.enum(loanTypes).optional(),
  consent: consent.optional(),
};
const [scored, noHistory] = bureauReport.options;

export const evidence = z.strictObject({
  application: z.strictObject({
    id: z.uuid(),
    monthlyIncomeInr: z.string(),
    loanAmountInr: z.string(),
    loanType: z.enum(loanTypes),
    consent: consent.nullable(),
    status,
    cibilScore: score,
    version: z.int(),
    createdAt: instant,
    /** of the last event of its history; null when it was never chained */
    eventHash: hash.nullable(),
    /** whether PAN and name were erased */
    erased: z.boolean(),
  }),
  /** oldest first */
  events: z.array(
    z.strictObject({
      id: z.uuid(),
      applicationId: z.uuid(),
      version: z.int(),
      kind: z.enum(eventKinds),
      status,
      actor: z.string(),
      reasons,
      payload: z.strictObject({
        cibilScore: score.optional(),
        ...statedSchema,
      }),
      occurredAt: instant,
      decisionHash: hash.nullable(),
      previousHash: hash.nullable(),
      hash,
    }),
  ),
  /** oldest first */
  decisions: z.array(
    z.strictObject({
      applicationId: z.uuid(),
      version: z.int(),
      outcome: status,
      decidedBy: z.enum(decisionMakers),
      policyVersion: z.string().nullable(),
      policyHash: z.string().nullable(),
      inputs: z.record(z.string(), z.string()),
      bureauReport: z.discriminatedUnion('result', [scored.strict(), noHistory.strict()]).nullable(),
      reasons,
      decidedAt: instant,
    }),
  ),
  /** those that the decisions name, as far as they are stored */
  policies: z.array(z.strictObject({ version: z.string(), hash: z.string(), document: z.string() })),
});

export type Evidence = z.output<typeof evidence>;
