import { hash } from 'node:crypto';

/**
 * JSON in the canonical form of RFC 8785: equal values have equal texts. Members that are undefined are left out, as
 * JSON does. Throws for what JSON cannot say: half a surrogate pair, a number that is not finite.
 */
export function canonical(value: unknown): string {
  if (typeof value === 'string') return quoted(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    let members = '';
    for (const key of sortedKeys(value)) {
      const member = (value as Record<string, unknown>)[key];
      if (member !== undefined) members += `${members && ','}${quoted(key)}:${canonical(member)}`;
    }
    return `{${members}}`;
  }
  // JavaScript writes numbers, and escapes texts, as the RFC does.
  const text = typeof value !== 'number' || Number.isFinite(value) ? JSON.stringify(value) : undefined;
  if (text === undefined) throw new TypeError('a value that JSON cannot say');
  return text;
}

/** nothing that JSON escapes, and no half of a pair */
const plain = /^[ !#-[\]-~]*$/;

function quoted(text: string): string {
  // Most are, and to look is cheaper than to write them anew.
  if (plain.test(text)) return `"${text}"`;
  if (!text.isWellFormed()) throw new TypeError('a value that JSON cannot say');
  return JSON.stringify(text);
}

/** By UTF-16 code units, as the RFC wants it and as JavaScript compares. */
function sortedKeys(value: object): string[] {
  const keys = Object.keys(value);
  const isSorted = keys.every((key, index) => index === 0 || (keys[index - 1] as string) < key);
  return isSorted ? keys : keys.toSorted();
}

/** In hexadecimal digits. */
export function sha256(text: string | Uint8Array): string {
  return hash('sha256', text);
}
