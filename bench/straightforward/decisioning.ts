import { run } from '@prequal/service';
import { openStore, storeEvent } from './store.ts';
import { startWorker } from './worker.ts';

type Scored = { id: string; score: number; monthlyIncomePaise: number; loanAmountPaise: number };

await run(async (env) => {
  const store = await openStore(env);
  return startWorker(env, { name: 'decisioning', listensTo: 'straightforward.scored' }, async (message, js) => {
    const { id, score, ...stated } = message as Scored;
    const status = decide(score, stated);
    await store.inTransaction(async (client) => {
      await client.query({
        name: 'decision',
        text: `update straightforward.applications set status = $2, cibil_score = $3, version = 2
          where id = $1 and status = 'PENDING'`,
        values: [id, status, score],
      });
      await storeEvent(client, id, 2, status);
    });
    await js.publish(`straightforward.status.${id}`, JSON.stringify({ status, version: 2, score }));
  });
});

function decide(score: number, { monthlyIncomePaise, loanAmountPaise }: Omit<Scored, 'id' | 'score'>): string {
  if (score < 650) return 'REJECTED';
  return monthlyIncomePaise * 48 > loanAmountPaise ? 'PRE_APPROVED' : 'MANUAL_REVIEW';
}
