/** The words every part of the system shares: what an application is, and the limits on what one may say. */

export const loanTypes = ['PERSONAL', 'HOME', 'AUTO'] as const;
export type LoanType = (typeof loanTypes)[number];

export const applicationStatuses = ['PENDING', 'PRE_APPROVED', 'REJECTED', 'MANUAL_REVIEW'] as const;
export type ApplicationStatus = (typeof applicationStatuses)[number];

/** What a decision can be: every status but the one an application is born with. */
export type DecisionOutcome = Exclude<ApplicationStatus, 'PENDING'>;

export const decisionMakers = ['POLICY', 'UNDERWRITER', 'SYSTEM'] as const;
export type DecisionMaker = (typeof decisionMakers)[number];

/** True for a status that nothing may change any more: watchers are told so and their stream ends. */
export function isFinal(status: ApplicationStatus): boolean {
  return status === 'PRE_APPROVED' || status === 'REJECTED';
}

const panAnywhere = /[A-Z]{5}[0-9]{4}[A-Z]/;
const panAsWord = /(?<![A-Z0-9])[A-Z]{5}[0-9]{4}[A-Z](?![A-Z0-9])/i;

/**
 * True when a PAN stands in a text that is kept or logged in clear, such as a name: in capitals anywhere, in
 * any case as a word. Lower case within a longer run is let pass, or every hundredth hexadecimal id would be one.
 */
export function containsPan(text: string): boolean {
  // Also in full-width letters, and as people group it: ABCDE 1234 F.
  const plain = text.normalize('NFKC').replace(/(?<=[A-Z0-9])[ -](?=[A-Z0-9])/g, '');
  return panAnywhere.test(plain) || panAsWord.test(text);
}

const groupedPans = /(?:[A-Z][ -]?){5}(?:[0-9][ -]?){4}[A-Z]/g;
const pansAsWords = /(?<![A-Z0-9])[A-Z]{5}[0-9]{4}[A-Z](?![A-Z0-9])/gi;

/** The text with `[PAN]` in the place of all that `containsPan` would find. For JSON: what it means else stays. */
export function withoutPans(text: string): string {
  // Character by character: a full-width quotation mark must not become one that ends a string.
  const plain = text.replaceAll(/[^\0-\x7f]/gu, (character) => {
    const simple = character.normalize('NFKC');
    return /^[A-Za-z0-9 -]+$/.test(simple) ? simple : character;
  });
  return plain.replaceAll(groupedPans, '[PAN]').replaceAll(pansAsWords, '[PAN]');
}

/** `code` is stable and upper snake case; `message` is one sentence an applicant understands. */
export type DecisionReason = { code: string; message: string };

/** That the applicant was told, and agreed, what the data are used for. Codes and no sentences. */
export type Consent = {
  /** e.g. CREDIT_ASSESSMENT */
  purpose: string;
  /** of the notice that was shown */
  noticeVersion: string;
  /** BCP 47, e.g. `en-IN` */
  language: string;
  givenAt: Date;
};

export type Application = {
  /** UUID version 7 */
  id: string;
  maskedPan: string;
  applicantName: string | null;
  monthlyIncomePaise: number;
  loanAmountPaise: number;
  loanType: LoanType;
  status: ApplicationStatus;
  /** 300 to 900; null until scored, or when the bureau knows no history */
  cibilScore: number | null;
  /** null when none was given */
  consent: Consent | null;
  /** 1 when submitted, one more at each change of status, without gaps */
  version: number;
  createdAt: Date;
  updatedAt: Date;
};

export type ApplicationEvent = {
  applicationId: string;
  version: number;
  status: ApplicationStatus;
  occurredAt: Date;
  /** e.g. `gateway`, `decisioning`, `underwriter:<subject>` */
  actor: string;
  reasons: DecisionReason[];
};

export type Decision = {
  applicationId: string;
  outcome: DecisionOutcome;
  decidedBy: DecisionMaker;
  decidedAt: Date;
  policyVersion: string | null;
  reasons: DecisionReason[];
};

/** Where an application stands in the review queue. */
export type Review = {
  /** the underwriter who holds it; null when nobody does, or no longer */
  claimedBy: string | null;
  claimExpiresAt: Date | null;
  /** when it entered the queue */
  waitingSince: Date;
};

/** Limits on what an underwriter says, and for how long an application is theirs. */
export const reviewLimits = { claimMinutes: 15, commentMaxChars: 2_000, reasonCodeMaxChars: 64 } as const;

/** What stands in the place of a PAN once it was erased. */
export const erasedPan = '**********';

/** Whether what is stored of an application is what was decided and recorded, in sentences for an auditor. */
export type DecisionVerification = { applicationId: string; intact: boolean; findings: string[] };

/** What a watcher of an application is told each time its status changes. */
export type StatusUpdate = {
  applicationId: string;
  status: ApplicationStatus;
  version: number;
  occurredAt: Date;
  cibilScore: number | null;
  reasons: DecisionReason[];
};

/** Limits on a submission; the database columns are as wide, so that nothing is cut or rounded. */
export const submissionLimits = {
  applicantNameMaxChars: 255,
  idempotencyKeyMaxChars: 255,
  /** ten integer digits and two fraction digits: DECIMAL(12,2) */
  maxAmountPaise: 999_999_999_999,
} as const;

export const cibilScoreRange = { min: 300, max: 900 } as const;
