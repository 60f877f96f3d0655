import { existsSync } from 'node:fs';
import { simulatedBureau as soundBureau } from '../../scoring/src/bureau/simulated.ts';
import { deeds } from './applicants.ts';

type Bureau = ReturnType<typeof soundBureau>;

/** told apart from every other end of the process */
export const exitCode = 97;

const paiseOf = (rupees: string) => Number(rupees.replace('.', ''));

/** Takes the place of the simulated bureau, see scoring-with-faults.ts. */
export function simulatedBureau(options: Parameters<typeof soundBureau>[0]): Bureau {
  const sound = soundBureau(options);
  const ackWaitMs = Number(process.env['CONSUMER_ACK_WAIT_MS']);
  const isHealed = () => existsSync(process.env['CHAOS_HEALED_FILE'] ?? '');
  return {
    report: async (request, trace) => {
      switch (request.monthlyIncomePaise) {
        case paiseOf(deeds.noHistory):
          return { result: 'NO_HISTORY', bureau: 'simulated' };
        case paiseOf(deeds.throws):
          if (!isHealed()) throw new Error('planted failure of a handler');
          break;
        case paiseOf(deeds.exits):
          if (!isHealed()) process.exit(exitCode);
          break;
        case paiseOf(deeds.blocks):
          if (!isHealed()) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ackWaitMs * 1.3);
          break;
        default:
      }
      return sound.report(request, trace);
    },
  };
}
