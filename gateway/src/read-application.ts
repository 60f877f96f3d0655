import { ApplicationEntity, ApplicationEventEntity, type Database, DecisionEntity } from '@prequal/persistence';
import type { Application, ApplicationEvent, Decision } from '@prequal/schema';
import { inBatches } from '@prequal/service';

const limits = { maxItems: 500, maxConcurrent: 4 };

export type ApplicationReader = {
  findApplication: (id: string) => Promise<Application | undefined>;
  /** Oldest first. */
  findHistory: (applicationId: string) => Promise<ApplicationEvent[]>;
  findDecision: (applicationId: string) => Promise<Decision | undefined>;
};

/** Reads by id; what many requests ask for in one turn is one query. Ids are lower-case UUIDs. */
export function createApplicationReader(database: Database): ApplicationReader {
  return {
    findApplication: inBatches(async (ids) => {
      const found = await database.em().find(ApplicationEntity, { id: { $in: [...new Set(ids)] } });
      const byId = new Map(found.map((application) => [application.id, application]));
      return ids.map((id) => byId.get(id));
    }, limits),
    findHistory: inBatches(async (ids) => {
      const found = await database
        .em()
        .find(ApplicationEventEntity, { applicationId: { $in: [...new Set(ids)] } }, { orderBy: { version: 'asc' } });
      const byId = Map.groupBy(found, (event) => event.applicationId);
      return ids.map((id) => byId.get(id) ?? []);
    }, limits),
    findDecision: inBatches(async (ids) => {
      const found = await database
        .em()
        .find(DecisionEntity, { applicationId: { $in: [...new Set(ids)] } }, { orderBy: { version: 'asc' } });
      // The newest of each comes last, and stays.
      const byId = new Map(found.map((decision) => [decision.applicationId, decision]));
      return ids.map((id) => byId.get(id));
    }, limits),
  };
}
