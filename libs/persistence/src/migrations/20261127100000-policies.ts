import { Migration } from '@mikro-orm/migrations';
import { forRole } from './for-role.ts';

/** The rules of lending as data: every version that was ever stored, and which of them decides. */
export class Policies extends Migration {
  override up(): void {
    this.addSql(`
      create table policies (
        version text primary key check (version ~ '^[a-z0-9][a-z0-9.-]{0,63}$'),
        mode text not null check (mode in ('INACTIVE', 'ACTIVE', 'SHADOW')),
        hash text not null check (hash ~ '^[0-9a-f]{64}$'),
        document text not null,
        created_at timestamptz(3) not null default now(),
        created_by text not null
      )`);
    this.addSql(`create unique index policies_one_active on policies (mode) where mode = 'ACTIVE'`);
    this.addSql(`create unique index policies_one_shadow on policies (mode) where mode = 'SHADOW'`);
    this.addSql(`
      create table policy_changes (
        id bigint generated always as identity primary key,
        version text not null references policies (version),
        mode text not null check (mode in ('INACTIVE', 'ACTIVE', 'SHADOW')),
        changed_at timestamptz(3) not null default now(),
        changed_by text not null
      )`);
    // Decisions name a version and its hash: what a version says can never change, and none ever goes.
    this.addSql(`
      create trigger policies_immutable before delete or update of version, hash, document, created_at, created_by
        on policies for each row execute function refuse_change()`);
    this.addSql(`
      create trigger policy_changes_append_only before update or delete on policy_changes
        for each row execute function refuse_change()`);
    // What the shadow policy would have decided, or why it gave no verdict; null when there was none.
    this.addSql('alter table decisions add column shadow jsonb');
    this.addSql(
      forRole(
        'prequal_gateway',
        'grant select, insert, update (mode) on policies to prequal_gateway',
        'grant select, insert on policy_changes to prequal_gateway',
        'grant select (inputs, bureau_report, shadow) on decisions to prequal_gateway',
      ),
    );
    this.addSql(forRole('prequal_decisioning', 'grant select on policies to prequal_decisioning'));
    this.addSql(forRole('prequal_reader', 'grant select on policies, policy_changes to prequal_reader'));
  }

  override down(): void {
    this.addSql(forRole('prequal_gateway', 'revoke select (inputs, bureau_report) on decisions from prequal_gateway'));
    this.addSql('alter table decisions drop column shadow');
    this.addSql('drop table policy_changes');
    this.addSql('drop table policies');
  }
}
