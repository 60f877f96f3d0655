import { Migration } from '@mikro-orm/migrations';

const touch = 'create trigger applications_touch before update on applications for each row';

/** Every update sets `updated_at`, but for one that replaces a PAN's ciphertext or index. */
export const touchQuietly = `
  ${touch} when (old.pan_ciphertext = new.pan_ciphertext and old.pan_index = new.pan_index)
    execute function applications_touch()`;

/** Replacing a PAN's ciphertext or index under another key changes nothing of the application: not its time either. */
export class QuietRotation extends Migration {
  override up(): void {
    this.addSql('drop trigger applications_touch on applications');
    this.addSql(touchQuietly);
  }

  override down(): void {
    this.addSql('drop trigger applications_touch on applications');
    this.addSql(`${touch} execute function applications_touch()`);
  }
}
