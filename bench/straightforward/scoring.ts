import { createPanDecrypter, keyRing } from '@prequal/pan';
import type { LoanType } from '@prequal/schema';
import { run } from '@prequal/service';
import { score } from '../../scoring/src/score.ts';
import { startWorker } from './worker.ts';

type Submitted = {
  id: string;
  panCiphertext: string;
  monthlyIncomePaise: number;
  loanAmountPaise: number;
  loanType: LoanType;
};

await run((env) => {
  const decryptPan = createPanDecrypter(keyRing.parse(env['PAN_ENCRYPTION_KEYS']));
  return startWorker(env, { name: 'scoring', listensTo: 'straightforward.submitted' }, async (message, js) => {
    const { id, panCiphertext, ...stated } = message as Submitted;
    const panNumber = decryptPan(Buffer.from(panCiphertext, 'base64'), id);
    const scored = score({ applicationId: id, panNumber, ...stated }, { useSandboxFixtures: false });
    await js.publish(`straightforward.scored.${id}`, JSON.stringify({ id, score: scored, ...stated }));
  });
});
