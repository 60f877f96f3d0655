import { Migration } from '@mikro-orm/migrations';

export class DeadLetters extends Migration {
  override up(): void {
    // An application that the system gave up may still be decided, by the policy after a replay or by a person.
    this.addSql(`
      alter table decisions
        add column version integer not null default 2,
        drop constraint decisions_pkey,
        add primary key (application_id, version)`);
    this.addSql('alter table decisions alter column version drop default');
    this.addSql(`create unique index decisions_policy_once on decisions (application_id) where decided_by = 'POLICY'`);

    this.addSql(`
      create table dead_letters (
        id uuid primary key,
        state text not null default 'OPEN' check (state in ('OPEN', 'REPLAYED', 'DISCARDED')),
        consumer text not null,
        subject text not null,
        application_id uuid,
        error_class text not null,
        error text not null,
        deliveries integer not null,
        correlation_id text,
        traceparent text,
        payload bytea not null,
        created_at timestamptz(3) not null default now(),
        resolved_at timestamptz(3),
        resolved_by text,
        resolution text,
        check ((state = 'OPEN') = (resolved_at is null))
      )`);
    this.addSql('create index dead_letters_state on dead_letters (state, created_at desc, id desc)');
    this.addSql('create index dead_letters_application_id on dead_letters (application_id)');

    // When a PENDING application was last given back to the queue, and how often: the next time comes later.
    this.addSql(`
      create table reconciliations (
        application_id uuid primary key references applications (id),
        times integer not null,
        next_at timestamptz(3) not null
      )`);
  }

  override down(): void {
    this.addSql('drop table reconciliations');
    this.addSql('drop table dead_letters');
    this.addSql('drop index decisions_policy_once');
    // A second decision has no place in the older schema; the newest is the one that counts.
    this.addSql('alter table decisions disable trigger decisions_append_only');
    this.addSql(`
      delete from decisions d using decisions newer
      where newer.application_id = d.application_id and newer.version > d.version`);
    this.addSql('alter table decisions enable trigger decisions_append_only');
    this.addSql(
      'alter table decisions drop constraint decisions_pkey, drop column version, add primary key (application_id)',
    );
  }
}
