import { Migration } from '@mikro-orm/migrations';
import { guardStatus, touchFunction } from './20261124000000-initial.ts';
import { touchQuietly } from './20261125130000-quiet-rotation.ts';
import { guardReview, noGuardReview } from './20261126100000-reviews.ts';

/** Null, which is not true, while there is no such role. By itself: what asks a table costs many times as much. */
const memberOfGateway = `pg_has_role(current_user, to_regrole('prequal_gateway'), 'member')`;
/** who is a member of every role */
const noSuperuser = 'not (select rolsuper from pg_catalog.pg_roles where rolname = current_user)';

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
    // By their full names, whatever the search path of who writes: a temporary table of that name must not stand in.
    this.addSql(`
      do $do$ begin
        execute format($format$
          create function applications_guard() returns trigger language plpgsql as $$
          begin
            if old.status <> new.status or old.version <> new.version then
              -- The door may change a status only for an underwriter: whoever took the gateway over must hold a claim as well.
              if old.status <> new.status and ${memberOfGateway} then
                if ${noSuperuser} and (old.status <> 'MANUAL_REVIEW' or not exists (
                  select 1 from %I.review_claims c where c.application_id = old.id and c.expires_at > now()
                )) then
                  raise exception 'application %%: only what an underwriter has claimed is resolved here', old.id
                    using errcode = 'insufficient_privilege';
                end if;
              end if;
              if old.status in ('PRE_APPROVED', 'REJECTED') then
                raise exception 'application %% has the final status %%, which nothing may change', old.id, old.status
                  using errcode = 'check_violation';
              end if;
              if new.status = 'PENDING' or new.version <> old.version + 1 then
                raise exception 'application %%: a change of status leaves PENDING for good and adds 1 to the version', old.id
                  using errcode = 'check_violation';
              end if;
            end if;
            -- A PAN under another key is the same application, also in its time.
            if old.pan_ciphertext = new.pan_ciphertext and old.pan_index = new.pan_index then
              new.updated_at := now();
            end if;
            return new;
          end $$
        $format$, current_schema());
      end $do$`);
    this.addSql(`
      create trigger applications_guard before update on applications
        for each row execute function applications_guard()`);
    this.addSql(`
      create function decisions_guard() returns trigger language plpgsql as $$
      begin
        if new.decided_by <> 'UNDERWRITER' and ${memberOfGateway} then
          if ${noSuperuser} then
            raise exception 'application %: only an underwriter decides here', new.application_id
              using errcode = 'insufficient_privilege';
          end if;
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
    this.addSql(touchFunction);
    this.addSql(touchQuietly);
    for (const statement of [...guardStatus, ...guardReview]) this.addSql(statement);
  }
}
