import { type DecisionOutcome, type DecisionReason, displayRupees } from '@prequal/schema';
import { refusedExpressions } from './expressions.ts';
import { openDecision } from './open-decision.ts';
import { type Jdm, parseDocument, type TableNode } from './parse-document.ts';
import { policyHash } from './policy-hash.ts';
import { InvalidPolicyError, PolicyFaultError, type PolicyInput, type Verdict } from './verdict.ts';

export type LoadedPolicy = {
  /** see `policyHash` */
  hash: string;
  /** the reasons that the document declares */
  reasonCodes: readonly string[];
  /** Throws `PolicyFaultError` when the document gives no verdict for this input. */
  evaluate: (input: PolicyInput) => Promise<Verdict>;
};

/**
 * Makes a JDM document ready to decide. Throws `InvalidPolicyError` when it cannot be read; whether it decides well
 * is for `checkPolicy`. Nothing needs to be closed: the engine's memory goes with the object.
 */
export function loadPolicy(document: string): LoadedPolicy {
  const jdm = parseDocument(document);
  const reasonCodes = declaredReasons(jdm);
  const refused = refusedExpressions(jdm);
  if (refused.length > 0) throw new InvalidPolicyError(refused);
  const decide = openDecision(jdm, exits);
  return {
    hash: policyHash(document),
    reasonCodes,
    evaluate: async (input) => verdictOf((await decide(input)) as Answer),
  };
}

/** The table that declares the reasons: its rows say when a reason is true, and give its code and its sentence. */
function declaredReasons(jdm: Jdm): string[] {
  const tables = jdm.nodes.filter((node): node is TableNode => node.type === 'decisionTableNode');
  const declaring = tables.filter(({ content }) =>
    ['code', 'message'].every((field) => content.outputs.some((output) => output.field === field)),
  );
  const [table] = declaring;
  if (!table || declaring.length > 1 || table.content.hitPolicy !== 'collect') {
    const message =
      'The document needs one decision table, with hit policy "collect", that declares the reasons: its outputs are `code` and `message`.';
    throw new InvalidPolicyError([{ kind: 'UNREADABLE', message, examples: [] }]);
  }
  const column = table.content.outputs.find(({ field }) => field === 'code')?.id ?? '';
  return table.content.rules.map((row, index) => {
    const code = /^\s*(['"])([A-Z][A-Z0-9_]{0,63})\1\s*$/.exec(row[column] ?? '')?.[2];
    if (code !== undefined) return code;
    const message = `Row ${index + 1} of "${table.name}" declares the reason ${row[column] || '(none)'}; a code is upper snake case in quotes, e.g. 'INCOME_SUFFICIENT'.`;
    throw new InvalidPolicyError([{ kind: 'UNREADABLE', message, examples: [] }]);
  });
}

/** Texts only, as `openDecision` wants them. */
const exits = {
  outcome: 'string(outcome)',
  because: 'map(because ?? [], string(#))',
  reasons: 'map(reasons ?? [], [string(#.code), string(#.message)])',
};

type Answer = { outcome?: string; because?: string[]; reasons?: [code: string, message: string][] };

/** Each is told to the applicant, and travels with the decision. */
const mostReasons = 20;

const outcomes: readonly string[] = ['PRE_APPROVED', 'MANUAL_REVIEW', 'REJECTED'] satisfies DecisionOutcome[];

function verdictOf({ outcome, because = [], reasons = [] }: Answer): Verdict {
  if (outcome === undefined || outcome === 'null') throw new PolicyFaultError('UNDECIDED', 'No row decides.');
  if (!outcomes.includes(outcome)) {
    throw new PolicyFaultError(
      'UNKNOWN_OUTCOME',
      `The outcome "${outcome.slice(0, 100)}" is none of ${outcomes.join(', ')}.`,
    );
  }
  if (because.length === 0) throw new PolicyFaultError('REASONS', `The outcome ${outcome} comes without a reason.`);
  if (because.length > mostReasons) {
    throw new PolicyFaultError('REASONS', `${because.length} reasons are given; at most ${mostReasons} may be.`);
  }
  if (new Set(because).size < because.length) {
    throw new PolicyFaultError('REASONS', `A reason is given twice: ${because.join(', ')}.`);
  }
  return { outcome: outcome as DecisionOutcome, reasons: because.map((code) => reasonOf(code, outcome, reasons)) };
}

function reasonOf(code: string, outcome: string, reasons: [string, string][]): DecisionReason {
  const [first, ...more] = reasons.filter(([declared]) => declared === code);
  if (!first || more.length > 0) {
    const rows = first ? `${more.length + 1} rows with this code hold` : 'no row with this code holds';
    const message = `The reason ${code} is given for ${outcome}, but in the table of reasons ${rows} for it.`;
    throw new PolicyFaultError('REASONS', message);
  }
  return { code, message: withRupees(first[1], code) };
}

const longestMessageChars = 500;

/** `₹[7500050]` in a sentence is an amount of whole paise; people read it as ₹75,000.50. */
function withRupees(sentence: string, code: string): string {
  const message = sentence.replaceAll(/₹\[(\d{1,15})(?:\.0+)?\]/g, (_, paise) => displayRupees(Number(paise)));
  if (message.includes('₹[')) {
    throw new PolicyFaultError(
      'REASONS',
      `The sentence of ${code} has an amount that is not whole paise: ${message.slice(0, 500)}`,
    );
  }
  if (message.trim() === '' || message.length > longestMessageChars) {
    throw new PolicyFaultError('REASONS', `The sentence of ${code} has ${message.length} characters.`);
  }
  return message;
}
