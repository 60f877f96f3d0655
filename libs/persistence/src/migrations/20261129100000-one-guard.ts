import { Migration } from '@mikro-orm/migrations';
import { guardStatus, touchFunction } from './20261124000000-initial.ts';
import { touchQuietly } from './20261125130000-quiet-rotation.ts';
import { guardReview, noGuardReview } from './20261126100000-reviews.ts';

/**
 * What three triggers guarded is guarded by one, with the same errors. PostgreSQL reads and plans the condition of a
 * trigger for each statement anew, and a function in SQL that it calls as well, which took a tenth of all its time.
 */
export class OneGuard extends Migration {
  override up(): void {
    this.addSql('drop trigger applications_touch on applications');
    this.addSql('drop function applications_touch()');
    this.addSql('drop trigger applications_guard_status on applications');
    this.addSql('drop function applications_guard_status()');
    for (const statement of noGuardReview) this.addSql(statement);
    // Of a role that does not exist nobody is a member. A superuser is one of every role.
    this.addSql(`
      create function is_gateway(who name) returns boolean stable language plpgsql as $$
      begin
        if not coalesce(pg_has_role(who, to_regrole('prequal_gateway'), 'member'), false) then
          return false;
        end if;
        return not (select rolsuper from pg_roles where rolname = who);
      end $$`);
    this.addSql(`
      create function applications_guard() returns trigger language plpgsql as $$
      begin
        if old.status <> new.status or old.version <> new.version then
          -- The door may change a status only for an underwriter: whoever took the gateway over must hold a claim as well.
          if old.status <> new.status and is_gateway(current_user) then
            if old.status <> 'MANUAL_REVIEW' or not exists (
              select 1 from review_claims c where c.application_id = old.id and c.expires_at > now()
            ) then
              raise exception 'application %: only what an underwriter has claimed is resolved here', old.id
                using errcode = 'insufficient_privilege';
            end if;
          end if;
          if old.status in ('PRE_APPROVED', 'REJECTED') then
            raise exception 'application % has the final status %, which nothing may change', old.id, old.status
              using errcode = 'check_violation';
          end if;
          if new.status = 'PENDING' or new.version <> old.version + 1 then
            raise exception 'application %: a change of status leaves PENDING for good and adds 1 to the version', old.id
              using errcode = 'check_violation';
          end if;
        end if;
        -- A PAN under another key is the same application, also in its time.
        if old.pan_ciphertext = new.pan_ciphertext and old.pan_index = new.pan_index then
          new.updated_at := now();
        end if;
        return new;
      end $$`);
    this.addSql(`
      create trigger applications_guard before update on applications
        for each row execute function applications_guard()`);
    this.addSql(`
      create function decisions_guard() returns trigger language plpgsql as $$
      begin
        if new.decided_by <> 'UNDERWRITER' and is_gateway(current_user) then
          raise exception 'application %: only an underwriter decides here', new.application_id
            using errcode = 'insufficient_privilege';
        end if;
        return new;
      end $$`);
    this.addSql(`
      create trigger decisions_guard before insert on decisions
        for each row execute function decisions_guard()`);
  }

  override down(): void {
    this.addSql('drop trigger decisions_guard on decisions');
    this.addSql('drop function decisions_guard()');
    this.addSql('drop trigger applications_guard on applications');
    this.addSql('drop function applications_guard()');
    this.addSql('drop function is_gateway(name)');
    this.addSql(touchFunction);
    this.addSql(touchQuietly);
    for (const statement of [...guardStatus, ...guardReview]) this.addSql(statement);
  }
}
