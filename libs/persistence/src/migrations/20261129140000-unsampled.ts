import { Migration } from '@mikro-orm/migrations';

/**
 * Columns of whose values PostgreSQL would keep samples for its planner, where names, PANs and messages would outlive
 * their erasure. Nothing is planned by them: whoever looks for a digest must see to it that its index is asked, as the
 * gateway's lists of a PAN do. And to take the samples costs more than all other upkeep.
 */
const unsampled: Readonly<Record<string, readonly string[]>> = {
  applications: ['pan_ciphertext', 'pan_index', 'pan_masked', 'applicant_name', 'consent', 'event_hash'],
  application_events: ['reasons', 'payload', 'decision_hash', 'previous_hash', 'hash'],
  decisions: ['inputs', 'bureau_report', 'reasons'],
  shadow_verdicts: ['reasons', 'error'],
  outbox: ['message'],
  idempotency_keys: ['fingerprint'],
  dead_letters: ['payload', 'error'],
  rate_limits: ['key'],
};

export class Unsampled extends Migration {
  override up(): void {
    for (const [table, columns] of Object.entries(unsampled)) {
      this.addSql(`alter table ${table} ${columns.map((column) => `alter ${column} set statistics 0`).join(', ')}`);
      for (const column of columns) this.addSql(forget(table, column));
    }
  }

  override down(): void {
    for (const [table, columns] of Object.entries(unsampled)) {
      this.addSql(`alter table ${table} ${columns.map((column) => `alter ${column} set statistics -1`).join(', ')}`);
    }
  }
}

/** Removes the samples that there are. Before PostgreSQL 18 only a superuser can; for another owner they stay. */
function forget(table: string, column: string): string {
  return `
    do $$ begin
      if current_setting('server_version_num')::integer >= 180000 then
        perform pg_clear_attribute_stats(current_schema()::text, '${table}', '${column}', false);
      elsif (select rolsuper from pg_roles where rolname = current_user) then
        delete from pg_statistic where starelid = '${table}'::regclass and staattnum =
          (select attnum from pg_attribute where attrelid = '${table}'::regclass and attname = '${column}');
      end if;
    end $$`;
}
