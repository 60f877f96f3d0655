import { sql } from './database.ts';

/**
 * Texts of JSON as one parameter, which PostgreSQL takes for an array of texts: line by line, since no line break stands
 * in JSON that was written without indentation. In an array's own form each quotation mark would be escaped here, and
 * each character looked at there. Throws for a text of several lines, which would move all that follow.
 */
export function jsonLines(texts: readonly (string | null)[]) {
  if (texts.some((text) => text?.includes('\n'))) throw new TypeError('a text of JSON with a line break in it');
  return sql<(string | null)[]>`string_to_array(${texts.join('\n')}::text, e'\\n', '')`;
}
