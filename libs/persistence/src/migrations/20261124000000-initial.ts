import { Migration } from '@mikro-orm/migrations';

/** What sets `updated_at`, whoever writes. */
export const touchFunction = `
  create function applications_touch() returns trigger language plpgsql as $$
  begin
    new.updated_at := now();
    return new;
  end $$`;

/** What refuses to change a final status, or any but step by step. */
export const guardStatus = [
  `
    create function applications_guard_status() returns trigger language plpgsql as $$
    begin
      if old.status in ('PRE_APPROVED', 'REJECTED') then
        raise exception 'application % has the final status %, which nothing may change', old.id, old.status
          using errcode = 'check_violation';
      end if;
      if new.status = 'PENDING' or new.version <> old.version + 1 then
        raise exception 'application %: a change of status leaves PENDING for good and adds 1 to the version', old.id
          using errcode = 'check_violation';
      end if;
      return new;
    end $$`,
  `
    create trigger applications_guard_status before update of status, version on applications
      for each row when (old.status is distinct from new.status or old.version is distinct from new.version)
      execute function applications_guard_status()`,
];

export class Initial extends Migration {
  override up(): void {
    this.addSql(`
      create table applications (
        id uuid primary key,
        pan_ciphertext bytea not null,
        pan_index bytea not null,
        pan_masked varchar(10) not null,
        applicant_name varchar(255),
        monthly_income_inr numeric(12,2) not null check (monthly_income_inr > 0),
        loan_amount_inr numeric(12,2) not null check (loan_amount_inr > 0),
        loan_type text not null check (loan_type in ('PERSONAL', 'HOME', 'AUTO')),
        status text not null check (status in ('PENDING', 'PRE_APPROVED', 'REJECTED', 'MANUAL_REVIEW')),
        cibil_score integer check (cibil_score between 300 and 900),
        version integer not null check (version >= 1),
        owner text,
        correlation_id varchar(128) not null,
        synthetic boolean not null,
        created_at timestamptz(3) not null default now(),
        updated_at timestamptz(3) not null default now()
      )`);
    this.addSql('create index applications_pan_index on applications (pan_index)');
    this.addSql('create index applications_status_created_at on applications (status, created_at)');
    this.addSql('create index applications_created_at on applications (created_at desc)');

    this.addSql(`
      create table application_events (
        id uuid primary key,
        application_id uuid not null references applications (id),
        version integer not null,
        status text not null check (status in ('PENDING', 'PRE_APPROVED', 'REJECTED', 'MANUAL_REVIEW')),
        actor text not null,
        reasons jsonb not null,
        payload jsonb not null,
        occurred_at timestamptz(3) not null default now(),
        unique (application_id, version)
      )`);

    this.addSql(`
      create table decisions (
        application_id uuid primary key references applications (id),
        outcome text not null check (outcome in ('PRE_APPROVED', 'REJECTED', 'MANUAL_REVIEW')),
        decided_by text not null check (decided_by in ('POLICY', 'UNDERWRITER', 'SYSTEM')),
        policy_version text,
        policy_hash text,
        inputs jsonb not null,
        bureau_report jsonb,
        reasons jsonb not null check (jsonb_array_length(reasons) > 0),
        decided_at timestamptz(3) not null default now()
      )`);

    // Emptied all the time: its dead rows are to be vacuumed by number, not by a share of nothing.
    this.addSql(`
      create table outbox (
        id uuid primary key,
        application_id uuid not null,
        subject text not null,
        message text not null,
        created_at timestamptz(3) not null default now()
      ) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)`);

    this.addSql(`
      create table idempotency_keys (
        caller text not null,
        key_digest bytea not null,
        application_id uuid not null,
        fingerprint bytea not null,
        created_at timestamptz(3) not null default now(),
        primary key (caller, key_digest)
      )`);

    this.addSql(touchFunction);
    this.addSql(`
      create trigger applications_touch before update on applications
        for each row execute function applications_touch()`);

    for (const statement of guardStatus) this.addSql(statement);
    this.addSql(`
      create function refuse_change() returns trigger language plpgsql as $$
      begin
        raise exception '% is append-only', tg_table_name using errcode = 'check_violation';
      end $$`);
    for (const table of ['application_events', 'decisions']) {
      this.addSql(`
        create trigger ${table}_append_only before update or delete on ${table}
          for each row execute function refuse_change()`);
    }
  }

  override down(): void {
    for (const table of ['idempotency_keys', 'outbox', 'decisions', 'application_events', 'applications']) {
      this.addSql(`drop table ${table}`);
    }
    for (const name of ['applications_touch', 'applications_guard_status', 'refuse_change']) {
      this.addSql(`drop function ${name}()`);
    }
  }
}
