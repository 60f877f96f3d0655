import { isStaff, Refusal, type Viewer } from '@prequal/schema';
import type { GraphQLContext } from '@prequal/schema/graphql';
import type { Trace } from '@prequal/service';
import type { Audit } from './audit.ts';
import type { DeadLetters } from './dead-letters.ts';
import type { DecisionFeed } from './decision-feed.ts';
import type { ListApplications } from './list-applications.ts';
import type { Policies } from './policies.ts';
import type { ApplicationReader } from './read-application.ts';
import type { ReadStatus } from './read-status.ts';
import type { Reviews } from './review.ts';
import type { StatusFeed } from './status-feed.ts';
import type { Submission, SubmitResult } from './submit-application.ts';
import { sightOf } from './viewer.ts';
import { watchApplication } from './watch-application.ts';

export type UseCases = {
  submitApplication: (submission: Submission) => Promise<SubmitResult>;
  reader: ApplicationReader;
  listApplications: ListApplications;
  reviews: Reviews;
  deadLetters: DeadLetters;
  audit: Audit;
  watching: { feed: Pick<StatusFeed, 'watch'>; readStatus: ReadStatus };
  decisions: Pick<DecisionFeed, 'watch'>;
  policies: Policies;
};

/** What the transport knows of a request. */
export type RequestFacts = {
  trace: Trace;
  viewer: Viewer | Refusal;
  synthetic: boolean;
  /** whose limits it counts against, see `clientAddress` */
  address: string;
  /** what can be sent over the transport it came by */
  carries: { answers: boolean; streams: boolean };
  /** A signal that fires when nobody waits for an answer any more; made when it is asked for, few ask. */
  gone: () => AbortSignal;
};

export type RequestContext = GraphQLContext & Omit<RequestFacts, 'viewer'>;

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** The port of one request: what its resolvers may ask for. */
export function createContext(useCases: UseCases, facts: RequestFacts): RequestContext {
  const { submitApplication, reader, watching, listApplications, reviews, deadLetters, decisions, policies, audit } =
    useCases;
  const { viewer, trace, synthetic, address, gone } = facts;
  // The transports have answered before; this is for the one that forgets.
  if (viewer instanceof Refusal) throw viewer;
  const sight = sightOf(viewer);
  const operator = `operator:${sight.subject}`;
  const analyst = `analyst:${sight.subject}`;
  const person = { subject: sight.subject ?? '', trace };
  /** Does it with an id that exists in this form, and answers the application as it is then. */
  const changed = async (id: string, change: (uuid: string) => Promise<void>) => {
    const uuid = toUuid(id);
    if (uuid === undefined) throw unknownApplication();
    await change(uuid);
    const application = await reader.findApplication({ id: uuid, ...sight });
    if (!application) throw unknownApplication();
    return application;
  };
  return {
    ...facts,
    viewer,
    submitApplication: (input) => submitApplication({ input, owner: sight.subject, address, trace, synthetic }),
    findApplication: async (id) => {
      const uuid = toUuid(id);
      return uuid === undefined ? undefined : reader.findApplication({ id: uuid, ...sight });
    },
    findHistory: reader.findHistory,
    findDecision: reader.findDecision,
    findReview: async (id) => (isStaff(viewer) ? reviews.findReview(id) : undefined),
    listApplications: (filter, page) => listApplications(filter, page, 'newest first'),
    listReviews: (page) => listApplications({ statuses: ['MANUAL_REVIEW'] }, page, 'oldest first'),
    listDeadLetters: deadLetters.list,
    replayDeadLetter: async (id) => deadLetters.replay(knownId(id), operator),
    discardDeadLetter: async (id, reason) => deadLetters.discard(knownId(id), operator, reason),
    claimReview: (id) => changed(id, (uuid) => reviews.claimReview(uuid, person)),
    resolveReview: (resolution) =>
      changed(resolution.applicationId, (uuid) =>
        reviews.resolveReview({ ...resolution, applicationId: uuid }, person),
      ),
    listPolicies: policies.list,
    publishPolicy: (policy) => policies.publish(policy, analyst),
    setPolicyMode: (version, mode) => policies.setMode(version, mode, analyst),
    simulatePolicy: policies.simulate,
    watchDecisions: (filter) => decisions.watch(filter, gone()),
    verifyDecision: async (id) => {
      const uuid = toUuid(id);
      if (uuid === undefined) throw unknownApplication();
      return audit.verifyDecision(uuid);
    },
    eraseApplicant: (id, reason) => changed(id, (uuid) => audit.eraseApplicant(uuid, reason, person)),
    watchApplication: async (id, afterVersion) => {
      const uuid = toUuid(id);
      if (uuid === undefined) throw unknownApplication();
      const { feed, readStatus } = watching;
      const readInSight = (wanted: { id: string; after: number | undefined }) => readStatus({ ...wanted, ...sight });
      return watchApplication({ feed, readStatus: readInSight }, uuid, afterVersion, gone());
    },
  };
}

function knownId(id: string): string {
  const uuid = toUuid(id);
  if (uuid === undefined) throw new Refusal('NOT_FOUND', 'There is no dead letter with this id.');
  return uuid;
}

function unknownApplication(): Refusal {
  return new Refusal('NOT_FOUND', 'There is no application with this id.');
}

// Lower case as in the subjects: PostgreSQL would find an id in capitals, NATS would not.
function toUuid(id: string): string | undefined {
  const uuid = id.toLowerCase();
  return uuidPattern.test(uuid) ? uuid : undefined;
}
