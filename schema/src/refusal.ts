/** The stable codes a client can meet in `extensions.code`; the README explains each. */
export type RefusalCode =
  | 'VALIDATION_FAILED'
  | 'NOT_FOUND'
  | 'IDEMPOTENCY_KEY_REUSED'
  | 'ALREADY_RESOLVED'
  | 'STILL_PENDING'
  | 'NOT_IN_REVIEW'
  | 'NOT_CLAIMED'
  | 'CLAIMED_BY_ANOTHER'
  | 'NOT_REPLAYABLE'
  | 'POLICY_INVALID'
  | 'UNAUTHENTICATED'
  | 'FORBIDDEN'
  | 'UNAVAILABLE'
  | 'BAD_REQUEST'
  | 'PAYLOAD_TOO_LARGE'
  | 'QUERY_TOO_COMPLEX'
  | 'VARIABLES_TOO_LARGE'
  | 'DOCUMENT_NOT_TRUSTED'
  | 'TOO_MANY_SUBSCRIPTIONS'
  | 'RATE_LIMITED';

/** One offending field. Never carries the offending value: it may be a PAN. */
export type InputIssue = {
  /** from the argument down, e.g. `["input", "panNumber"]` */
  path: (string | number)[];
  /** upper snake case, e.g. REQUIRED, INVALID_PAN */
  code: string;
  message: string;
};

/**
 * A refusal is our answer to a request that cannot be granted: the client sees its code, message and
 * details as they are, so none may hold internals or personal data.
 */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly code: RefusalCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: RefusalCode, message: string, details: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.code = code;
    this.details = details;
  }
}

/** VALIDATION_FAILED with every offending field; the message repeats them for people who read only that. */
export function validationFailed(issues: InputIssue[]): Refusal {
  const sentences = issues.map((issue) => `${issue.path.join('.')} ${issue.message}`);
  return new Refusal('VALIDATION_FAILED', sentences.join('; '), { issues });
}
