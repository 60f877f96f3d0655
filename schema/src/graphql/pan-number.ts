import { z } from 'zod';

/** PAN: five letters, four digits, one letter, upper case. Its check letter's formula is not published. */
export const panNumber = z.string().regex(/^[A-Z]{5}[0-9]{4}[A-Z]$/, {
  error: 'must be a PAN: five capital letters, four digits, one capital letter',
});
