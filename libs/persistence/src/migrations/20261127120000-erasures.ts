import { Migration } from '@mikro-orm/migrations';
import { forRole } from './for-role.ts';

/**
 * What remains of an erased PAN and name, and what is still to be done: `purge_at` says when copies in the streams
 * are looked for again, null when none can be left.
 */
export class Erasures extends Migration {
  override up(): void {
    this.addSql(`
      create table erasures (
        application_id uuid primary key references applications (id),
        erased_at timestamptz(3) not null default now(),
        purge_at timestamptz(3) default now(),
        purges integer not null default 0
      )`);
    this.addSql('create index erasures_purge_at on erasures (purge_at) where purge_at is not null');
    this.addSql('create index idempotency_keys_application_id on idempotency_keys (application_id)');
    // Of those columns that nobody but a rotation of keys changes. A superuser may err as well.
    this.addSql(`
      create function applications_guard_erasure() returns trigger language plpgsql as $$
      begin
        if old.pan_ciphertext = '' then
          raise exception 'application % was erased for good', old.id using errcode = 'check_violation';
        end if;
        if new.pan_ciphertext = '' and (new.pan_index <> '' or new.pan_masked <> '**********'
            or new.applicant_name is not null or new.status = 'PENDING') then
          raise exception 'application %: all of it is erased or nothing, and not before it is decided', old.id
            using errcode = 'check_violation';
        end if;
        return new;
      end $$`);
    this.addSql(`
      create trigger applications_guard_erasure
        before update of pan_ciphertext, pan_index, pan_masked, applicant_name on applications
        for each row execute function applications_guard_erasure()`);
    // With the rights of the owner, so that the gateway needs none to change a PAN, a dead letter or a key's fingerprint.
    // A message that is replayed or published just now is waited for: each statement sees what was committed before it.
    this.addSql(`
      do $do$ begin
        execute format($format$
          create function erase_personal_data(erased uuid, by_whom text) returns void
          language plpgsql security definer set search_path = %I, pg_temp as $$
          begin
            if not exists (select from application_events where application_id = erased and kind = 'ERASURE') then
              raise exception 'application %%: its history does not say that it was erased', erased
                using errcode = 'check_violation';
            end if;
            update applications set pan_ciphertext = '', pan_index = '', pan_masked = '**********',
              applicant_name = null, updated_at = now() where id = erased;
            insert into erasures (application_id) values (erased);
            update idempotency_keys set fingerprint = '' where application_id = erased;
            update dead_letters set payload = '' where application_id = erased;
            update dead_letters set state = 'DISCARDED', resolved_at = now(), resolved_by = by_whom,
              resolution = 'The personal data of its application was erased.'
              where application_id = erased and state = 'OPEN';
            delete from outbox where application_id = erased and subject like 'loan.applications.submitted.%%';
          end $$
        $format$, current_schema());
      end $do$`);
    this.addSql('revoke all on function erase_personal_data(uuid, text) from public');
    this.addSql(
      forRole('prequal_gateway', 'grant execute on function erase_personal_data(uuid, text) to prequal_gateway'),
    );
    this.addSql(
      forRole('prequal_decisioning', 'grant select, update (purge_at, purges) on erasures to prequal_decisioning'),
    );
    for (const role of ['prequal_gateway', 'prequal_reader']) {
      this.addSql(forRole(role, `grant select on erasures to ${role}`));
    }
    // Taken back and applied again, it knows of the erasures that the histories tell, and looks for copies anew.
    this.addSql(`
      insert into erasures (application_id, erased_at)
      select application_id, occurred_at from application_events where kind = 'ERASURE'`);
  }

  override down(): void {
    this.addSql('drop function erase_personal_data(uuid, text)');
    this.addSql('drop trigger applications_guard_erasure on applications');
    this.addSql('drop function applications_guard_erasure()');
    this.addSql('drop index idempotency_keys_application_id');
    this.addSql('drop table erasures');
  }
}
