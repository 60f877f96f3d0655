import { randomUUID } from 'node:crypto';
import { type OutboxMessage, sql, storePolicy } from '@prequal/persistence';
import { policyHash, shippedPolicies } from '@prequal/policy';
import { type BureauReport, createEvent, type EventOf } from '@prequal/schema';
import { quiet, type TestDatabase } from '@prequal/testing';
import { onCreditReportsGenerated } from './on-credit-report-generated.ts';
import { policiesOf } from './policies.fixture.ts';
import { recordTogether } from './record-together.ts';

export const seed = shippedPolicies().find(({ version }) => version === 'seed-1')?.document ?? '';

export const traceId = 'c'.repeat(32);

export function report(
  applicationId: string,
  bureauReport: BureauReport = scored(700),
): EventOf<'creditReportGenerated'> {
  return createEvent('creditReportGenerated', {
    id: randomUUID(),
    source: 'scoring',
    applicationId,
    time: new Date(),
    trace: { correlationId: 'a-correlation', traceparent: `00-${traceId}-${'d'.repeat(16)}-01` },
    data: { report: bureauReport },
  });
}

export function scored(score: number): BureauReport {
  return { result: 'SCORED', score, bureau: 'simulated' };
}

export async function pendingApplication(database: TestDatabase, { income = '75000.00', amount = '500000.00' } = {}) {
  const id = randomUUID();
  await sql`
    insert into applications (id, pan_ciphertext, pan_index, pan_masked, monthly_income_inr, loan_amount_inr, loan_type,
      status, version, correlation_id, synthetic)
    values (${id}, '\\x00', '\\x00', 'ABCDE***4F', ${income}, ${amount}, 'HOME', 'PENDING', 1, 'x', false)`.execute(
    database.sql(),
  );
  return id;
}

/** What became of each in the end. */
export async function settled(outcomes: Awaited<ReturnType<typeof onCreditReportsGenerated>>) {
  const ends = await Promise.allSettled(outcomes);
  return ends.map((end) => (end.status === 'fulfilled' ? end.value : (end.reason as Error)));
}

/** The handler with a relay that remembers what it was given to publish. */
export function handling(database: TestDatabase) {
  const sent: OutboxMessage[] = [];
  const relay = {
    send: (messages: readonly OutboxMessage[]) => void sent.push(...messages),
    sweep: () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  };
  const observed: string[] = [];
  const observe = (outcome: string, seconds: number) => void observed.push(`${outcome} ${seconds < 60}`);
  const { policies, shadow, ready } = policiesOf(database);
  const record = recordTogether(database);
  const deps = { database, relay, policies, shadow, record, newId: randomUUID, log: quiet, observe };
  const handle = async (...reports: EventOf<'creditReportGenerated'>[]) => {
    await ready;
    return settled(await onCreditReportsGenerated(deps, reports));
  };
  return { handle, deps, sent, observed };
}

/** A document that is stored without a check. */
export async function stored(database: TestDatabase, version: string, document: string) {
  return storePolicy(database, { version, document, hash: policyHash(document), by: 'a-test' });
}

/** `seed-1`, but for one score it does not come to an end. */
export const endlessAt = (score: number) => {
  const list = JSON.stringify(Array.from({ length: 60 }, (_, index) => index));
  const endless = Array.from({ length: 8 }).reduce<string>((inner) => `sum(map(${list}, ${inner}))`, '#');
  return seed.replace('"value": "650"', `"value": "score == ${score} ? ${endless} : 650"`);
};
