import { Migration } from '@mikro-orm/migrations';

/**
 * What the network lost is looked for by the time at which a decision was written. `occurred_at` is of an earlier
 * read: whoever is suspended between the two writes a decision that lies behind those told before. In this order a
 * page of decisions is read without those before it; submissions are left out, so they cost nothing.
 */
export class RecordedAt extends Migration {
  override up(): void {
    this.addSql('alter table application_events add column recorded_at timestamptz(3)');
    // By itself: with the column it would rewrite the table, and give a time to what was written long ago.
    this.addSql('alter table application_events alter column recorded_at set default clock_timestamp()');
    this.addSql(`
      create index application_events_recorded_at on application_events (recorded_at, application_id, version)
        where kind = 'STATUS' and status <> 'PENDING' and recorded_at is not null`);
    this.addSql('drop index application_events_occurred_at');
  }

  override down(): void {
    this.addSql(`
      create index application_events_occurred_at on application_events
        using brin (occurred_at) with (pages_per_range = 32, autosummarize = on)`);
    this.addSql('drop index application_events_recorded_at');
    this.addSql('alter table application_events drop column recorded_at');
  }
}
