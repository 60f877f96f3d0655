import { Migration } from '@mikro-orm/migrations';

/**
 * Counts that the gateways share, in the shape that their rate limiter expects; keys are keyed digests. Not
 * logged: counts need not survive a crash of the server, and so do not write to its log either.
 */
export class RateLimits extends Migration {
  override up(): void {
    this.addSql(`
      create unlogged table rate_limits (
        key varchar(255) primary key,
        points integer not null default 0,
        expire bigint
      )`);
    this.addSql('create index rate_limits_expire on rate_limits (expire)');
    this.addSql(`
      do $$ begin
        if to_regrole('prequal_gateway') is not null then
          grant select, insert, update, delete on rate_limits to prequal_gateway;
        end if;
      end $$`);
  }

  override down(): void {
    this.addSql('drop table rate_limits');
  }
}
