import type { z } from 'zod';
import type { creditReportRequest } from '../src/bureau/protocol.ts';
import { score } from '../src/score.ts';
import type { Behaviour } from './behaviour.ts';

/** What is sent back: an object as JSON, a text as it is. */
export type Answer = { status: number; body: object | string; delayMs?: number };

const hugeBytes = 1_000_000;

/** The answer to a request that `behaviour` strikes; `normal` to all others. Scores are those of the simulated bureau. */
export function answerTo(request: z.output<typeof creditReportRequest>, chosen: Behaviour): Answer {
  const { applicationId, panNumber, loanType, monthlyIncomeInr: monthlyIncomePaise } = request;
  const facts = { applicationId, panNumber, loanType, monthlyIncomePaise };
  const truth = { applicationId, result: 'SCORED', score: score(facts, { useSandboxFixtures: true }) };
  switch (chosen.behaviour) {
    case 'normal':
      return { status: 200, body: truth };
    case 'noHistory':
      return { status: 200, body: { applicationId, result: 'NO_HISTORY' } };
    case 'notFound':
      return { status: 404, body: { code: 'NOT_FOUND' } };
    case 'unavailable':
      return { status: 503, body: { code: 'UNAVAILABLE' } };
    case 'slow':
      return { status: 200, body: truth, delayMs: chosen.delayMs };
    case 'lying':
      return { status: 200, body: lie(truth, panNumber)[chosen.lie] };
    default:
      return chosen satisfies never;
  }
}

// The PAN comes back where nobody expects it, as from a bureau that repeats what it was asked.
function lie(truth: { applicationId: string; result: string; score: number }, panNumber: string) {
  return {
    score: { ...truth, score: 9_999 },
    applicationId: { ...truth, applicationId: '00000000-0000-7000-8000-000000000000' },
    notJson: `${panNumber} <html>the bureau is being maintained</html>`,
    huge: { ...truth, padding: panNumber.repeat(hugeBytes / panNumber.length) },
  };
}
