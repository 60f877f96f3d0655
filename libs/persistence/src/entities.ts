import { defineEntity, type InferEntity, p, Type } from '@mikro-orm/postgresql';
import {
  applicationStatuses,
  type DecisionOutcome,
  type DecisionReason,
  decisionMakers,
  eventKinds,
  formatRupees,
  loanTypes,
  parsePaise,
} from '@prequal/schema';

/** numeric(12,2) in the database, integer paise in code. */
class PaiseType extends Type<number, string> {
  override convertToDatabaseValue(paise: number): string {
    return formatRupees(paise);
  }

  override convertToJSValue(rupees: string | number): number {
    const paise = parsePaise(String(rupees));
    if (paise === undefined) throw new Error('a stored amount is not a positive number with two fraction digits');
    return paise;
  }

  override getColumnType(): string {
    return 'numeric(12,2)';
  }
}

/** The truth about an application. The PAN's ciphertext and index are left out: no entity carries them. */
export const ApplicationEntity = defineEntity({
  name: 'Application',
  tableName: 'applications',
  properties: {
    id: p.uuid().primary(),
    maskedPan: p.string().name('pan_masked'),
    applicantName: p.string().strictNullable(),
    monthlyIncomePaise: p.type(PaiseType).name('monthly_income_inr'),
    loanAmountPaise: p.type(PaiseType).name('loan_amount_inr'),
    loanType: p.enum(loanTypes),
    status: p.enum(applicationStatuses),
    cibilScore: p.integer().strictNullable(),
    version: p.integer(),
    synthetic: p.boolean(),
    createdAt: p.datetime(),
    updatedAt: p.datetime(),
  },
});

/** Append-only: one row for each change of status, and one for an erasure, which comes after the change of its version. */
export const ApplicationEventEntity = defineEntity({
  name: 'ApplicationEvent',
  tableName: 'application_events',
  properties: {
    id: p.uuid().primary(),
    applicationId: p.uuid(),
    version: p.integer(),
    kind: p.enum(eventKinds),
    status: p.enum(applicationStatuses),
    actor: p.string(),
    reasons: p.json<DecisionReason[]>(),
    payload: p.json<{ cibilScore?: number | null }>(),
    occurredAt: p.datetime(),
  },
});

/** Immutable: what was decided and on what evidence. The one with the highest version counts. */
export const DecisionEntity = defineEntity({
  name: 'Decision',
  tableName: 'decisions',
  properties: {
    applicationId: p.uuid().primary(),
    version: p.integer().primary(),
    outcome: p.enum(applicationStatuses).$type<DecisionOutcome>(),
    decidedBy: p.enum(decisionMakers),
    policyVersion: p.string().strictNullable(),
    reasons: p.json<DecisionReason[]>(),
    decidedAt: p.datetime(),
  },
});

/**
 * What to read of a decision: the `fields` of each `find`. Left to itself MikroORM selects `*`, and with it what no
 * entity carries and not every role may read.
 */
export const decisionFields = Object.keys(DecisionEntity.properties) as (keyof typeof DecisionEntity.properties)[];

export type ApplicationRow = InferEntity<typeof ApplicationEntity>;

export const entities = [ApplicationEntity, ApplicationEventEntity, DecisionEntity];
