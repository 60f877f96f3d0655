import { Migration } from '@mikro-orm/migrations';

// What each role may do, written out: a later migration that adds a column or a table grants it there.
// Locking a row (`for update`) takes the right to update one of its columns: `applications.updated_at` is
// always overwritten by a trigger, and `outbox.created_at` only delays what its owner sends himself.
const grants = {
  prequal_gateway: [
    `select (id, pan_ciphertext, pan_masked, applicant_name, monthly_income_inr, loan_amount_inr, loan_type, status,
      cibil_score, version, owner, correlation_id, synthetic, created_at, updated_at) on applications`,
    `insert (id, pan_ciphertext, pan_index, pan_masked, applicant_name, monthly_income_inr, loan_amount_inr, loan_type,
      status, version, owner, correlation_id, synthetic) on applications`,
    'update (updated_at) on applications',
    'select, insert on application_events',
    `select (application_id, version, outcome, decided_by, policy_version, reasons, decided_at) on decisions`,
    'select, insert, delete, update (created_at) on outbox',
    'select, insert on idempotency_keys',
    'select, insert, update (times, next_at) on reconciliations',
    'select on schema_migrations',
  ],
  prequal_decisioning: [
    `select (id, monthly_income_inr, loan_amount_inr, loan_type, status, version, correlation_id, synthetic, created_at)
      on applications`,
    'update (status, cibil_score, version) on applications',
    'insert on application_events',
    'select (application_id, version, decided_by), insert on decisions',
    'select, insert, delete, update (created_at) on outbox',
    'select (id, state), insert on dead_letters',
    'select on schema_migrations',
  ],
  prequal_operator: [
    'select (id, pan_ciphertext, pan_index), update (pan_ciphertext, pan_index) on applications',
    'select, update (state, resolved_at, resolved_by, resolution) on dead_letters',
    'insert on outbox',
    'select on schema_migrations',
  ],
  prequal_reader: [
    `select (id, monthly_income_inr, loan_amount_inr, loan_type, status, cibil_score, version, correlation_id, synthetic,
      created_at, updated_at) on applications`,
    'select on application_events, decisions, reconciliations, schema_migrations',
    'select (id, application_id, subject, created_at) on outbox',
    `select (id, state, consumer, subject, application_id, error_class, deliveries, correlation_id, traceparent,
      created_at, resolved_at, resolved_by) on dead_letters`,
  ],
};

const submitted = `subject like 'loan.applications.submitted.%'`;
const reported = `subject like 'loan.credit-reports.generated.%'`;
const announced = `subject like 'loan.applications.status.%'`;

/** Whose rows of the outbox are whose: what one service publishes, no other may put there for it. */
const policies: Record<keyof typeof grants, string> = {
  prequal_gateway: `using (${submitted}) with check (${submitted})`,
  // Replayed by an operator, since scoring has no database to publish them from.
  prequal_decisioning: `using (${announced} or ${reported}) with check (${announced})`,
  prequal_operator: `with check (${submitted} or ${reported})`,
  prequal_reader: 'using (true)',
};

const commands: Record<keyof typeof grants, string> = {
  prequal_gateway: 'all',
  prequal_decisioning: 'all',
  prequal_operator: 'insert',
  prequal_reader: 'select',
};

const roles = Object.keys(grants) as (keyof typeof grants)[];
const tables =
  'applications, application_events, decisions, outbox, idempotency_keys, reconciliations, dead_letters, schema_migrations';

/**
 * Roles with what each service needs and nothing else. They belong to the whole server, so they are made only
 * if absent, and stay when this is taken back. Whoever migrates without the right to make roles goes without:
 * an administrator makes them, then this migration is taken back and applied again.
 */
export class Access extends Migration {
  override up(): void {
    for (const role of roles) {
      this.addSql(`
        do $$ begin
          create role ${role} nologin;
        exception when duplicate_object or unique_violation or insufficient_privilege then null;
        end $$`);
    }
    this.addSql('alter table outbox enable row level security');
    for (const role of roles) {
      this.addSql(`
        do $$ begin
          if to_regrole('${role}') is not null then
            execute format('grant usage on schema %I to ${role}', current_schema());
            ${grants[role].map((grant) => `grant ${grant} to ${role};`).join('\n            ')}
            create policy ${role} on outbox for ${commands[role]} to ${role} ${policies[role]};
          end if;
        end $$`);
    }
  }

  override down(): void {
    for (const role of roles) {
      this.addSql(`drop policy if exists ${role} on outbox`);
      this.addSql(`
        do $$ begin
          if to_regrole('${role}') is not null then
            revoke all on ${tables} from ${role};
            execute format('revoke usage on schema %I from ${role}', current_schema());
          end if;
        end $$`);
    }
    this.addSql('alter table outbox disable row level security');
  }
}
