import { Migration } from '@mikro-orm/migrations';

/** What the network lost is looked for by time. Events come in that order, so an index of ranges is enough, and costs nothing. */
export class DecisionFeed extends Migration {
  override up(): void {
    this.addSql(`
      create index application_events_occurred_at on application_events
        using brin (occurred_at) with (pages_per_range = 32, autosummarize = on)`);
  }

  override down(): void {
    this.addSql('drop index application_events_occurred_at');
  }
}
