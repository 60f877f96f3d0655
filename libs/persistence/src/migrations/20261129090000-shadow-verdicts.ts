import { Migration } from '@mikro-orm/migrations';
import { forRole } from './for-role.ts';

/** What the shadow policy says is written after the decision and not with it, so that no applicant waits for it. */
export class ShadowVerdicts extends Migration {
  override up(): void {
    this.addSql(`
      create table shadow_verdicts (
        application_id uuid not null,
        version integer not null,
        policy_version text not null,
        policy_hash text not null,
        outcome text,
        reasons jsonb,
        error text,
        recorded_at timestamptz(3) not null default now(),
        primary key (application_id, version),
        foreign key (application_id, version) references decisions (application_id, version),
        check (case when error is null then outcome is not null and reasons is not null else outcome is null end)
      )`);
    this.addSql(`
      insert into shadow_verdicts (application_id, version, policy_version, policy_hash, outcome, reasons, error, recorded_at)
      select application_id, version, shadow->>'version', shadow->>'hash', shadow->>'outcome', shadow->'reasons',
        shadow->>'error', decided_at
      from decisions where shadow is not null`);
    this.addSql('alter table decisions drop column shadow');
    this.addSql(`
      create trigger shadow_verdicts_append_only before update or delete on shadow_verdicts
        for each row execute function refuse_change()`);
    this.addSql(forRole('prequal_decisioning', 'grant insert on shadow_verdicts to prequal_decisioning'));
    this.addSql(forRole('prequal_reader', 'grant select on shadow_verdicts to prequal_reader'));
  }

  override down(): void {
    this.addSql('alter table decisions add column shadow jsonb');
    this.addSql('alter table decisions disable trigger decisions_append_only');
    this.addSql(`
      update decisions d set shadow = jsonb_build_object('version', s.policy_version, 'hash', s.policy_hash) ||
        case when s.error is null then jsonb_build_object('outcome', s.outcome, 'reasons', s.reasons)
          else jsonb_build_object('error', s.error) end
      from shadow_verdicts s where s.application_id = d.application_id and s.version = d.version`);
    this.addSql('alter table decisions enable trigger decisions_append_only');
    this.addSql(forRole('prequal_gateway', 'grant select (shadow) on decisions to prequal_gateway'));
    this.addSql('drop table shadow_verdicts');
  }
}
