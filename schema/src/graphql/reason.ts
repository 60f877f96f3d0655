import { z } from 'zod';
import { containsPan } from '../application.ts';
import { validationFailed } from '../refusal.ts';

const maxChars = 2_000;
const rule = z
  .string()
  .trim()
  .refine((text) => text.length >= 1 && Array.from(text).length <= maxChars)
  .refine((text) => text.isWellFormed() && !/[^\P{Cc}\n\t]/u.test(text) && !containsPan(text));

export const reasonDescription = `1 to ${maxChars} characters, kept for good; no PAN`;

/** What a member of staff gives as the reason of an act, trimmed. Throws `Refusal` VALIDATION_FAILED. */
export function checkedReason(reason: string): string {
  const checked = rule.safeParse(reason);
  if (checked.success) return checked.data;
  const message = `must be 1 to ${maxChars} characters after trimming, without control characters or a PAN`;
  throw validationFailed([{ path: ['reason'], code: 'INVALID_VALUE', message }]);
}
