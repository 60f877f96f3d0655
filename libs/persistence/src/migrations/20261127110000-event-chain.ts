import { Migration } from '@mikro-orm/migrations';
import { type ChainedEvent, type DecisionRecord, hashOfDecision, hashOfEvent } from '@prequal/schema';
import { forRole } from './for-role.ts';

/** of events chained at a time */
const batch = 5_000;

/**
 * Makes of each history a chain. The newest hash stands with the application as well: who reads its version reads
 * that, too, and so writes the next event without another round trip.
 */
export class EventChain extends Migration {
  override async up(): Promise<void> {
    await this.execute(`
      alter table application_events
        add column kind text not null default 'STATUS' check (kind in ('STATUS', 'ERASURE')),
        add column decision_hash bytea check (octet_length(decision_hash) = 32),
        add column previous_hash bytea check (octet_length(previous_hash) = 32),
        add column hash bytea check (octet_length(hash) = 32)`);
    await this.execute('alter table applications add column event_hash bytea check (octet_length(event_hash) = 32)');
    await this.execute('alter table application_events disable trigger application_events_append_only');
    await this.execute('alter table applications disable trigger applications_touch');
    await this.chainAll();
    await this.execute('alter table applications enable trigger applications_touch');
    await this.execute('alter table application_events enable trigger application_events_append_only');
    await this.execute(`
      alter table application_events
        alter column hash set not null,
        drop constraint application_events_application_id_version_key,
        add unique (application_id, version, kind)`);
    await this.execute(`
      create unique index application_events_erased_once on application_events (application_id) where kind = 'ERASURE'`);
    await this.execute(
      forRole(
        'prequal_gateway',
        'grant select (event_hash), insert (event_hash), update (event_hash) on applications to prequal_gateway',
      ),
    );
    await this.execute(
      forRole(
        'prequal_decisioning',
        'grant select (event_hash), update (event_hash) on applications to prequal_decisioning',
      ),
    );
    await this.execute(forRole('prequal_reader', 'grant select (event_hash) on applications to prequal_reader'));
  }

  /** What was stored before, in the order of the histories. */
  private async chainAll(): Promise<void> {
    let last: { applicationId: string; version: number; hash: string } | undefined;
    for (;;) {
      const after = last ? [last.applicationId, last.version] : ['00000000-0000-0000-0000-000000000000', 0];
      const rows = (await this.execute(
        `select e.id, e.application_id as "applicationId", e.version, e.kind, e.status, e.actor, e.reasons, e.payload,
           ${instant('e.occurred_at')} as "occurredAt",
           case when d.version is not null then jsonb_build_object('outcome', d.outcome, 'decidedBy', d.decided_by,
             'policyVersion', d.policy_version, 'policyHash', d.policy_hash, 'inputs', d.inputs,
             'bureauReport', d.bureau_report, 'reasons', d.reasons, 'decidedAt', ${instant('d.decided_at')}) end as decision
         from application_events e left join decisions d using (application_id, version)
         where (e.application_id, e.version) > (?::uuid, ?::integer)
         order by e.application_id, e.version limit ${batch}`,
        after,
      )) as (ChainedEvent & { decision: DecisionRecord | null })[];
      if (rows.length === 0) break;
      const chained = rows.map(({ decision, ...event }) => {
        const { applicationId, version, id } = event;
        const decisionHash = decision && hashOfDecision({ ...decision, applicationId, version });
        const previousHash = last?.applicationId === applicationId ? last.hash : null;
        const hash = hashOfEvent({ ...event, decisionHash, previousHash });
        last = { applicationId, version, hash };
        return { id, decision_hash: decisionHash, previous_hash: previousHash, hash };
      });
      await this.execute(
        `update application_events e
         set decision_hash = decode(c.decision_hash, 'hex'), previous_hash = decode(c.previous_hash, 'hex'),
           hash = decode(c.hash, 'hex')
         from jsonb_to_recordset(?::jsonb) as c (id uuid, decision_hash text, previous_hash text, hash text)
         where e.id = c.id`,
        [JSON.stringify(chained)],
      );
    }
    await this.execute(`
      update applications a set event_hash = e.hash
      from application_events e where e.application_id = a.id and e.version = a.version`);
  }

  override down(): void {
    this.addSql('alter table applications drop column event_hash');
    this.addSql('drop index application_events_erased_once');
    // An erasure has no place in the older schema.
    this.addSql('alter table application_events disable trigger application_events_append_only');
    this.addSql(`delete from application_events where kind = 'ERASURE'`);
    this.addSql('alter table application_events enable trigger application_events_append_only');
    this.addSql(`
      alter table application_events
        drop constraint application_events_application_id_version_kind_key,
        drop column kind, drop column decision_hash, drop column previous_hash, drop column hash,
        add unique (application_id, version)`);
  }
}

/** As `Date.toISOString` writes it. */
function instant(column: string): string {
  return `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
}
