import { Refusal } from '@prequal/schema';
import type { GraphQLContext } from '@prequal/schema/graphql';
import type { Trace } from '@prequal/service';
import type { ApplicationReader } from './read-application.ts';
import type { Submission, SubmitResult } from './submit-application.ts';
import type { WatchDeps } from './watch-application.ts';
import { watchApplication } from './watch-application.ts';

export type UseCases = {
  submitApplication: (submission: Submission) => Promise<SubmitResult>;
  reader: ApplicationReader;
  watching: WatchDeps;
};

/** What the transport knows of a request. */
export type RequestFacts = {
  trace: Trace;
  synthetic: boolean;
  /** fires when nobody waits for an answer any more */
  gone: AbortSignal;
};

export type RequestContext = GraphQLContext & RequestFacts;

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** The port of one request: what its resolvers may ask for. */
export function createContext({ submitApplication, reader, watching }: UseCases, facts: RequestFacts): RequestContext {
  return {
    ...facts,
    submitApplication: (input) => {
      const { trace, synthetic } = facts;
      return submitApplication({ input, caller: '', trace, synthetic });
    },
    findApplication: async (id) => {
      const uuid = toUuid(id);
      return uuid === undefined ? undefined : reader.findApplication(uuid);
    },
    findHistory: reader.findHistory,
    findDecision: reader.findDecision,
    watchApplication: async (id, afterVersion) => {
      const uuid = toUuid(id);
      if (uuid === undefined) throw new Refusal('NOT_FOUND', 'There is no application with this id.');
      return watchApplication(watching, uuid, afterVersion, facts.gone);
    },
  };
}

// Lower case as in the subjects: PostgreSQL would find an id in capitals, NATS would not.
function toUuid(id: string): string | undefined {
  const uuid = id.toLowerCase();
  return uuidPattern.test(uuid) ? uuid : undefined;
}
