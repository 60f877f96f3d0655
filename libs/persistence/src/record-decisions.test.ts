import { randomUUID } from 'node:crypto';
import { test } from '@prequal/testing';
import { expect } from 'vitest';
import { sql } from './database.ts';
import { readEvidence } from './read-evidence.ts';
import { type NewDecision, recordDecisions } from './record-decisions.ts';

test('a decision is not added to a history that has grown since it was read', async ({ database }) => {
  const id = randomUUID();
  await sql`
    insert into applications (id, pan_ciphertext, pan_index, pan_masked, monthly_income_inr, loan_amount_inr, loan_type,
      status, version, correlation_id, synthetic, event_hash)
    values (${id}, '\\x00', '\\x00', 'ABCDE***4F', 1, 1, 'HOME', 'PENDING', 1, 'a-test', false, sha256('grown'))`.execute(
    database.sql(),
  );
  const decision = (eventHash: string | null): NewDecision => ({
    applicationId: id,
    version: 1,
    eventHash,
    outcome: 'REJECTED',
    decidedBy: 'SYSTEM',
    actor: 'a-test',
    policy: null,
    cibilScore: null,
    reasons: [{ code: 'A', message: 'b' }],
    inputs: {},
    report: null,
    decidedAt: new Date(),
    message: { id: randomUUID(), subject: 'a.test', message: '{}' },
  });
  expect(await recordDecisions(database, [decision('a'.repeat(64))])).toEqual(new Set());
  expect(await recordDecisions(database, [decision(null)])).toEqual(new Set());
  const newest = (await readEvidence(database, id))?.application.eventHash ?? null;
  expect(await recordDecisions(database, [decision(newest)])).toEqual(new Set([id]));
  const evidence = await readEvidence(database, id);
  expect(evidence?.events).toMatchObject([{ version: 2, previousHash: newest, hash: evidence?.application.eventHash }]);
});
