import { type Database, isDatabaseAway, type NewDecision, recordDecisions } from '@prequal/persistence';
import { inBatches, isolatingBadItems } from '@prequal/service';

/** Answers whether it was written: not when the application was changed since it was read. */
export type RecordDecision = (decision: NewDecision) => Promise<boolean>;

/** Two at once: one transaction is being committed while the next one is gathered. */
const limits = { maxItems: 256, maxConcurrent: 2 };

/** Decisions that are made at about the same time are recorded in one statement. */
export function recordTogether(database: Pick<Database, 'sql'>): RecordDecision {
  return inBatches(
    isolatingBadItems(async (decisions: readonly NewDecision[]) => {
      // Of two on one application, each from its own delivery of a report, one is written.
      const first = new Map(decisions.toReversed().map((decision) => [decision.applicationId, decision]));
      const written = await recordDecisions(database, [...first.values()]);
      return decisions.map(
        (decision) => first.get(decision.applicationId) === decision && written.has(decision.applicationId),
      );
    }, isDatabaseAway),
    limits,
  );
}
