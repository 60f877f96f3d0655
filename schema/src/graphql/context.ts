import type {
  Application,
  ApplicationEvent,
  ApplicationStatus,
  Consent,
  Decision,
  DecisionOutcome,
  DecisionVerification,
  LoanType,
  Review,
  StatusUpdate,
} from '../application.ts';
import type { DeadLetter, DeadLetterState } from '../dead-letter.ts';
import type { Policy, PolicyMode, PolicySimulation } from '../policy.ts';
import type { Viewer } from '../viewer.ts';

/** What a caller submits, already coerced and checked. */
export type SubmitApplicationInput = {
  panNumber: string;
  applicantName: string | null;
  monthlyIncomePaise: number;
  loanAmountPaise: number;
  loanType: LoanType;
  consent: Consent | null;
  idempotencyKey: string | null;
};

/** Which applications a list holds; all that is given must hold, and what is not given lets all pass. */
export type ApplicationFilter = {
  statuses?: readonly ApplicationStatus[] | undefined;
  loanTypes?: readonly LoanType[] | undefined;
  createdAfter?: Date | undefined;
  createdBefore?: Date | undefined;
  panNumber?: string | undefined;
};

/** Either a stored version or a document. */
export type SimulationRequest = {
  version: string | undefined;
  document: string | undefined;
  filter: ApplicationFilter;
  limit: number;
};

/** Which decisions somebody is told of; what is not given lets all pass. */
export type DecisionFilter = Pick<ApplicationFilter, 'statuses' | 'loanTypes'>;

/** The part of a list that comes after a cursor: its first entries. */
export type PageRequest = { first: number; after: string | undefined };

export type Page<Item> = {
  entries: { cursor: string; node: Item }[];
  hasNextPage: boolean;
  hasPreviousPage: boolean;
  /** of the whole list; asked only when a client wants it */
  totalCount: () => Promise<number>;
};

export type ReviewResolution = {
  applicationId: string;
  outcome: DecisionOutcome;
  reasonCode: string;
  comment: string;
};

/**
 * The port: what a resolver may ask the gateway to do. One is made for each operation; all
 * reads are batched across requests, so a resolver may ask for one thing at a time.
 */
export type GraphQLContext = {
  viewer: Viewer;
  /** Throws `Refusal` IDEMPOTENCY_KEY_REUSED. Has stored the application durably when it returns. */
  submitApplication(input: SubmitApplicationInput): Promise<{ application: Application; replayed: boolean }>;
  /** Undefined when unknown, when `id` is not a UUID, or when it is not the viewer's to see: nobody can tell which. */
  findApplication(id: string): Promise<Application | undefined>;
  /** Oldest first. */
  findHistory(applicationId: string): Promise<ApplicationEvent[]>;
  findDecision(applicationId: string): Promise<Decision | undefined>;
  /** Undefined unless it is in review. */
  findReview(applicationId: string): Promise<Review | undefined>;
  /** Newest first. Throws `Refusal` VALIDATION_FAILED for a cursor that is none. */
  listApplications(filter: ApplicationFilter, page: PageRequest): Promise<Page<Application>>;
  /** What is in MANUAL_REVIEW, oldest first. Throws as `listApplications`. */
  listReviews(page: PageRequest): Promise<Page<Application>>;
  /** Newest first; of all states when none is given. Throws as `listApplications`. */
  listDeadLetters(state: DeadLetterState | undefined, page: PageRequest): Promise<Page<DeadLetter>>;
  /** Throws `Refusal` NOT_FOUND, ALREADY_RESOLVED, NOT_REPLAYABLE. */
  replayDeadLetter(id: string): Promise<DeadLetter>;
  /** Throws `Refusal` NOT_FOUND, ALREADY_RESOLVED. */
  discardDeadLetter(id: string, reason: string): Promise<DeadLetter>;
  /** Throws `Refusal` NOT_FOUND, NOT_IN_REVIEW, CLAIMED_BY_ANOTHER. */
  claimReview(applicationId: string): Promise<Application>;
  /** Throws `Refusal` NOT_FOUND, NOT_IN_REVIEW, NOT_CLAIMED. */
  resolveReview(resolution: ReviewResolution): Promise<Application>;
  /** Newest first. */
  listPolicies(): Promise<Policy[]>;
  /** Throws `Refusal` POLICY_INVALID, VALIDATION_FAILED. */
  publishPolicy(policy: { version: string; document: string }): Promise<Policy>;
  /** Throws `Refusal` NOT_FOUND, VALIDATION_FAILED. */
  setPolicyMode(version: string, mode: PolicyMode): Promise<Policy>;
  /** Throws `Refusal` NOT_FOUND, POLICY_INVALID. */
  simulatePolicy(request: SimulationRequest): Promise<PolicySimulation>;
  /** Throws `Refusal` NOT_FOUND. */
  verifyDecision(applicationId: string): Promise<DecisionVerification>;
  /** Throws `Refusal` NOT_FOUND, STILL_PENDING, VALIDATION_FAILED. Once erased, it stays as it is. */
  eraseApplicant(applicationId: string, reason: string): Promise<Application>;
  /** Throws `Refusal` NOT_FOUND, also for what is not the viewer's to see. The stream never throws, waits through outages, and ends after a final status. */
  watchApplication(id: string, afterVersion: number | undefined): Promise<AsyncIterable<StatusUpdate>>;
  /** Every decision from now on. The stream waits through outages; it throws `Refusal` UNAVAILABLE when it is not taken fast enough. */
  watchDecisions(filter: DecisionFilter): Promise<AsyncIterable<StatusUpdate>>;
};
