import { score } from '../score.ts';
import type { Bureau } from './bureau.ts';

/** A bureau for the sandbox: answers at once, by the rules of `score.ts`. */
export function simulatedBureau(options: { useSandboxFixtures: boolean }): Bureau {
  return {
    report: async (request) => ({ result: 'SCORED', score: score(request, options), bureau: 'simulated' }),
  };
}
