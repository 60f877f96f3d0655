import { Migration } from '@mikro-orm/migrations';
import { forRole } from './for-role.ts';

const submitted = `subject like 'loan.applications.submitted.%'`;
const reported = `subject like 'loan.credit-reports.generated.%'`;
const announced = `subject like 'loan.applications.status.%'`;

/** What lets the gateway change a status only for an underwriter: whoever took it over must hold a claim as well. */
export const guardReview = [
  // A superuser is a member of every role.
  `
    create function current_user_is_gateway() returns boolean stable language sql as $$
      select to_regrole('prequal_gateway') is not null
        and pg_has_role(current_user, to_regrole('prequal_gateway'), 'member')
        and not (select rolsuper from pg_roles where rolname = current_user)
    $$`,
  `
    create function applications_guard_review() returns trigger language plpgsql as $$
    begin
      if old.status <> 'MANUAL_REVIEW' or not exists (
        select 1 from review_claims c where c.application_id = old.id and c.expires_at > now()
      ) then
        raise exception 'application %: only what an underwriter has claimed is resolved here', old.id
          using errcode = 'insufficient_privilege';
      end if;
      return new;
    end $$`,
  `
    create trigger applications_guard_review before update of status on applications
      for each row when (current_user_is_gateway() and old.status is distinct from new.status)
      execute function applications_guard_review()`,
  `
    create function decisions_guard_review() returns trigger language plpgsql as $$
    begin
      raise exception 'application %: only an underwriter decides here', new.application_id
        using errcode = 'insufficient_privilege';
    end $$`,
  `
    create trigger decisions_guard_review before insert on decisions
      for each row when (new.decided_by <> 'UNDERWRITER' and current_user_is_gateway())
      execute function decisions_guard_review()`,
];

export const noGuardReview = [
  'drop trigger decisions_guard_review on decisions',
  'drop function decisions_guard_review()',
  'drop trigger applications_guard_review on applications',
  'drop function applications_guard_review()',
  'drop function current_user_is_gateway()',
];

/** The desk of the underwriters: who holds what for how long, and lists that are read by cursor. */
export class Reviews extends Migration {
  override up(): void {
    this.addSql(`
      create table review_claims (
        application_id uuid primary key references applications (id),
        claimed_by text not null,
        claimed_at timestamptz(3) not null default now(),
        expires_at timestamptz(3) not null
      )`);
    for (const statement of guardReview) this.addSql(statement);
    // With the id, which tells apart what was created in one millisecond, so that a cursor names one place.
    this.addSql('create index applications_status_created_at_id on applications (status, created_at, id)');
    this.addSql('create index applications_created_at_id on applications (created_at, id)');
    this.addSql('drop index applications_status_created_at');
    this.addSql('drop index applications_created_at');
    this.addSql(
      forRole(
        'prequal_gateway',
        'grant select, insert, update (claimed_by, claimed_at, expires_at) on review_claims to prequal_gateway',
        'grant select (pan_index), update (status, version, cibil_score) on applications to prequal_gateway',
        'grant select (policy_hash), insert on decisions to prequal_gateway',
        // Operators resolve dead letters at the door, too; what decisioning publishes again, they only put there.
        'grant select, update (state, resolved_at, resolved_by, resolution) on dead_letters to prequal_gateway',
        `alter policy prequal_gateway on outbox using (${submitted} or ${announced})
          with check (${submitted} or ${announced} or ${reported})`,
      ),
    );
    this.addSql(forRole('prequal_reader', 'grant select on review_claims to prequal_reader'));
  }

  override down(): void {
    this.addSql(
      forRole(
        'prequal_gateway',
        `alter policy prequal_gateway on outbox using (${submitted}) with check (${submitted})`,
        'revoke select, update (state, resolved_at, resolved_by, resolution) on dead_letters from prequal_gateway',
        'revoke select (policy_hash), insert on decisions from prequal_gateway',
        'revoke select (pan_index), update (status, version, cibil_score) on applications from prequal_gateway',
      ),
    );
    for (const statement of noGuardReview) this.addSql(statement);
    this.addSql('create index applications_created_at on applications (created_at desc)');
    this.addSql('create index applications_status_created_at on applications (status, created_at)');
    this.addSql('drop index applications_created_at_id');
    this.addSql('drop index applications_status_created_at_id');
    this.addSql('drop table review_claims');
  }
}
