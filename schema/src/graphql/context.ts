import type { Application, ApplicationEvent, Decision, LoanType, StatusUpdate } from '../application.ts';
import type { Viewer } from '../viewer.ts';

/** What a caller submits, already coerced and checked. */
export type SubmitApplicationInput = {
  panNumber: string;
  applicantName: string | null;
  monthlyIncomePaise: number;
  loanAmountPaise: number;
  loanType: LoanType;
  idempotencyKey: string | null;
};

/**
 * The port: what a resolver may ask the gateway to do. One is made for each request or socket; all
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
  /** Throws `Refusal` NOT_FOUND, also for what is not the viewer's to see. The stream never throws, waits through outages, and ends after a final status. */
  watchApplication(id: string, afterVersion: number | undefined): Promise<AsyncIterable<StatusUpdate>>;
};
