import { z } from 'zod';
import { submissionLimits } from './application.ts';

/**
 * Money is integer paise in code (at most 10^12, far inside Number.MAX_SAFE_INTEGER), DECIMAL(12,2) in
 * SQL and an exact decimal string on the wire. It is never a fraction in floating point.
 */

const amountPattern = /^(\d{1,10})(?:\.(\d{1,2}))?$/;

/**
 * Rupees as text to paise: `"75000.5"` is 7500050. Undefined when it is not a positive amount with at
 * most ten integer and two fraction digits; nothing is rounded.
 */
export function parsePaise(rupees: string): number | undefined {
  const match = amountPattern.exec(rupees);
  if (!match) return undefined;
  const paise = Number(match[1]) * 100 + Number((match[2] ?? '').padEnd(2, '0'));
  return paise > 0 ? paise : undefined;
}

/** Paise to rupees with two fraction digits: 7500050 is `"75000.50"`. */
export function formatRupees(paise: number): string {
  const digits = String(paise).padStart(3, '0');
  return `${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

const indianRupees = new Intl.NumberFormat('en-IN', { style: 'currency', currency: 'INR' });

/** Paise as people in India write rupees, for sentences: 50000000 is `₹5,00,000.00`. */
export function displayRupees(paise: number): string {
  // Intl formats a decimal string exactly; a number would pass through floating point.
  return indianRupees.format(formatRupees(paise) as Intl.StringNumericLiteral);
}

/** A positive amount: decimal string on the wire, paise inside. */
export const rupees = z.codec(
  z.string().regex(amountPattern),
  z.int().positive().max(submissionLimits.maxAmountPaise),
  {
    decode: (text, context) => {
      const paise = parsePaise(text);
      if (paise !== undefined) return paise;
      context.issues.push({ code: 'custom', input: text, message: 'must be more than 0' });
      return z.NEVER;
    },
    encode: formatRupees,
  },
);
