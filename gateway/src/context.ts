import { type DeadLetterState, isStaff, type PolicyMode, Refusal, type Viewer } from '@prequal/schema';
import type {
  ApplicationFilter,
  DecisionFilter,
  GraphQLContext,
  PageRequest,
  ReviewResolution,
  SimulationRequest,
  SubmitApplicationInput,
} from '@prequal/schema/graphql';
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
import { type WatchDeps, watchApplication } from './watch-application.ts';

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

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** The port of one operation: what its resolvers may ask for. A class, since every watcher keeps one. */
export class OperationContext implements GraphQLContext, WatchDeps {
  readonly viewer: Viewer;
  readonly facts: RequestFacts;
  readonly #useCases: UseCases;

  constructor(useCases: UseCases, facts: RequestFacts) {
    // The transports have answered before; this is for the one that forgets.
    if (facts.viewer instanceof Refusal) throw facts.viewer;
    this.viewer = facts.viewer;
    this.facts = facts;
    this.#useCases = useCases;
  }

  submitApplication(input: SubmitApplicationInput) {
    const { trace, synthetic, address } = this.facts;
    return this.#useCases.submitApplication({ input, owner: this.#sight.subject, address, trace, synthetic });
  }

  async findApplication(id: string) {
    const uuid = toUuid(id);
    return uuid === undefined ? undefined : this.#useCases.reader.findApplication({ id: uuid, ...this.#sight });
  }

  findHistory(id: string) {
    return this.#useCases.reader.findHistory(id);
  }

  findDecision(id: string) {
    return this.#useCases.reader.findDecision(id);
  }

  async findReview(id: string) {
    return isStaff(this.viewer) ? this.#useCases.reviews.findReview(id) : undefined;
  }

  listApplications(filter: ApplicationFilter, page: PageRequest) {
    return this.#useCases.listApplications(filter, page, 'newest first');
  }

  listReviews(page: PageRequest) {
    return this.#useCases.listApplications({ statuses: ['MANUAL_REVIEW'] }, page, 'oldest first');
  }

  listDeadLetters(state: DeadLetterState | undefined, page: PageRequest) {
    return this.#useCases.deadLetters.list(state, page);
  }

  async replayDeadLetter(id: string) {
    return this.#useCases.deadLetters.replay(knownId(id), `operator:${this.#sight.subject}`);
  }

  async discardDeadLetter(id: string, reason: string) {
    return this.#useCases.deadLetters.discard(knownId(id), `operator:${this.#sight.subject}`, reason);
  }

  claimReview(id: string) {
    return this.#changed(id, (uuid) => this.#useCases.reviews.claimReview(uuid, this.#person));
  }

  resolveReview(resolution: ReviewResolution) {
    return this.#changed(resolution.applicationId, (uuid) =>
      this.#useCases.reviews.resolveReview({ ...resolution, applicationId: uuid }, this.#person),
    );
  }

  listPolicies() {
    return this.#useCases.policies.list();
  }

  publishPolicy(policy: { version: string; document: string }) {
    return this.#useCases.policies.publish(policy, `analyst:${this.#sight.subject}`);
  }

  setPolicyMode(version: string, mode: PolicyMode) {
    return this.#useCases.policies.setMode(version, mode, `analyst:${this.#sight.subject}`);
  }

  simulatePolicy(request: SimulationRequest) {
    return this.#useCases.policies.simulate(request);
  }

  async verifyDecision(id: string) {
    return this.#useCases.audit.verifyDecision(knownApplication(id));
  }

  eraseApplicant(id: string, reason: string) {
    return this.#changed(id, (uuid) => this.#useCases.audit.eraseApplicant(uuid, reason, this.#person));
  }

  async watchApplication(id: string, afterVersion: number | undefined) {
    return watchApplication(this, knownApplication(id), afterVersion, this.facts.gone());
  }

  get feed() {
    return this.#useCases.watching.feed;
  }

  readStatus({ id, after }: { id: string; after: number | undefined }) {
    return this.#useCases.watching.readStatus({ id, after, ...this.#sight });
  }

  watchDecisions(filter: DecisionFilter) {
    return this.#useCases.decisions.watch(filter, this.facts.gone());
  }

  get #sight() {
    return sightOf(this.viewer);
  }

  get #person() {
    return { subject: this.#sight.subject ?? '', trace: this.facts.trace };
  }

  /** Does it with an id that exists in this form, and answers the application as it is then. */
  async #changed(id: string, change: (uuid: string) => Promise<void>) {
    const uuid = knownApplication(id);
    await change(uuid);
    const application = await this.#useCases.reader.findApplication({ id: uuid, ...this.#sight });
    if (!application) throw unknownApplication();
    return application;
  }
}

function knownApplication(id: string): string {
  const uuid = toUuid(id);
  if (uuid === undefined) throw unknownApplication();
  return uuid;
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
