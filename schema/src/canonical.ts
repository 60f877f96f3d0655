import { hash } from 'node:crypto';

/**
 * JSON in the canonical form of RFC 8785: equal values have equal texts. Members that are undefined are left out, as
 * JSON does. Throws for what JSON cannot say: half a surrogate pair, a number that is not finite.
 */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    let members = '';
    // By UTF-16 code units, as the RFC wants it and as JavaScript compares.
    for (const key of Object.keys(value).toSorted()) {
      const member = (value as Record<string, unknown>)[key];
      if (member !== undefined) members += `${members && ','}${canonical(key)}:${canonical(member)}`;
    }
    return `{${members}}`;
  }
  const isSayable =
    typeof value === 'string' ? value.isWellFormed() : typeof value !== 'number' || Number.isFinite(value);
  // JavaScript writes numbers, and escapes texts, as the RFC does.
  const text = isSayable ? JSON.stringify(value) : undefined;
  if (text === undefined) throw new TypeError('a value that JSON cannot say');
  return text;
}

/** In hexadecimal digits. */
export function sha256(text: string | Uint8Array): string {
  return hash('sha256', text);
}
