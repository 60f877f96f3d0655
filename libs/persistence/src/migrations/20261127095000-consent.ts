import { Migration } from '@mikro-orm/migrations';
import { forRole } from './for-role.ts';

/** What the applicant has agreed to; null when nobody said. */
export class Consent extends Migration {
  override up(): void {
    this.addSql('alter table applications add column consent jsonb');
    this.addSql(
      forRole('prequal_gateway', 'grant select (consent), insert (consent) on applications to prequal_gateway'),
    );
    this.addSql(forRole('prequal_reader', 'grant select (consent) on applications to prequal_reader'));
  }

  override down(): void {
    this.addSql('alter table applications drop column consent');
  }
}
