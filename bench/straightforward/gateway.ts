import { randomUUID } from 'node:crypto';
import { createPanEncrypter, keyRing, maskPan } from '@prequal/pan';
import { type Application, formatRupees, isFinal, type StatusUpdate } from '@prequal/schema';
import { createSchema, type SubmitApplicationInput } from '@prequal/schema/graphql';
import { createLog, run } from '@prequal/service';
import Fastify from 'fastify';
import mercurius from 'mercurius';
import { openStore, storeEvent } from './store.ts';
import { connectTo } from './worker.ts';

/**
 * The pipeline as it is written at first: one transaction a request, then its message; a subscription to NATS for
 * each watcher. What it leaves out (outbox, limits, history's hashes, masking, metrics) makes it faster.
 */
await run(async (env) => {
  const store = await openStore(env);
  const { nc, js } = await connectTo(env);
  const encryptPan = createPanEncrypter(keyRing.parse(env['PAN_ENCRYPTION_KEYS']));

  async function submitApplication(input: SubmitApplicationInput) {
    const { panNumber, idempotencyKey: _, ...stated } = input;
    const id = randomUUID();
    const panCiphertext = encryptPan(panNumber, id);
    const [income, amount] = [formatRupees(input.monthlyIncomePaise), formatRupees(input.loanAmountPaise)];
    await store.inTransaction(async (client) => {
      await client.query({
        name: 'application',
        text: `insert into straightforward.applications (id, pan_ciphertext, pan_masked, monthly_income_inr,
          loan_amount_inr, loan_type, status, version) values ($1, $2, $3, $4, $5, $6, 'PENDING', 1)`,
        values: [id, panCiphertext, maskPan(panNumber), income, amount, input.loanType],
      });
      await storeEvent(client, id, 1, 'PENDING');
    });
    const message = { id, panCiphertext: panCiphertext.toString('base64'), ...stated };
    await js.publish(`straightforward.submitted.${id}`, JSON.stringify(message));
    const now = new Date();
    const application: Application = {
      ...stated,
      id,
      maskedPan: maskPan(panNumber),
      status: 'PENDING',
      cibilScore: null,
      version: 1,
      createdAt: now,
      updatedAt: now,
    };
    return { application, replayed: false };
  }

  async function watchApplication(id: string) {
    const changes = nc.subscribe(`straightforward.status.${id}`);
    await nc.flush();
    const { rows } = await store.pool.query<{ status: StatusUpdate['status']; version: number; cibil_score: number }>({
      name: 'status',
      text: 'select status, version, cibil_score from straightforward.applications where id = $1',
      values: [id],
    });
    return updates(id, rows[0], changes);
  }

  async function* updates(
    id: string,
    row: { status: StatusUpdate['status']; version: number; cibil_score: number } | undefined,
    changes: ReturnType<typeof nc.subscribe>,
  ): AsyncGenerator<StatusUpdate> {
    try {
      if (!row) return;
      const facts = { applicationId: id, occurredAt: new Date(), reasons: [] };
      yield { ...facts, status: row.status, version: row.version, cibilScore: row.cibil_score };
      if (row.version > 1) return;
      for await (const change of changes) {
        const { status, version, score } = change.json<{ status: 'REJECTED'; version: number; score: number }>();
        yield { ...facts, status, version, cibilScore: score };
        if (isFinal(status)) return;
      }
    } finally {
      changes.unsubscribe();
    }
  }

  const app = Fastify();
  const context = { viewer: 'anonymous', submitApplication, watchApplication };
  await app.register(mercurius, {
    schema: createSchema(),
    context: () => context,
    subscription: { context: () => context },
  });
  const url = await app.listen({ host: '127.0.0.1', port: Number(env['GATEWAY_PORT']) });
  return {
    url,
    log: createLog('straightforward', 'fatal'),
    [Symbol.asyncDispose]: async () => {
      await app.close();
      await nc.close();
      await store[Symbol.asyncDispose]();
    },
  };
});
