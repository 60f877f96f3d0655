import { Client } from 'pg';

// Our statements are made of constant texts, so there are only as many names as these can be put together: what a
// filter says of values is bound, and that of a list of statuses, of which there are sixteen.
const names = new Map<string, string>();

function nameOf(text: string): string {
  let name = names.get(text);
  if (name === undefined) {
    name = `statement_${names.size + 1}`;
    names.set(text, name);
  }
  return name;
}

/**
 * A PostgreSQL session that parses and plans each statement with bound parameters once and then only
 * runs it. Statements without parameters (what the entity manager writes, with its values in the text)
 * are sent as they are: no two of them need be the same.
 *
 * A session whose answer did not come in time ends. The library would go on with it, and nobody knows then where
 * it stands: had `begin` been answered late, what is stored next would only seem to be stored, within a transaction
 * that nobody ends.
 */
export class Session extends Client {
  override query(...given: unknown[]): never {
    const [text, values, ...rest] = given;
    const prepare = typeof text === 'string' && Array.isArray(values) && values.length > 0;
    // The overloads of `query` cannot be told apart here; whatever came is passed on.
    const answer: unknown = super.query(
      ...((prepare ? [{ name: nameOf(text), text, values }, ...rest] : given) as [never]),
    );
    // Before whoever asked is told, and gives the session to the next one.
    if (answer instanceof Promise) answer.catch((error: unknown) => void (isReadTimeout(error) && this.end()));
    return answer as never;
  }
}

function isReadTimeout(error: unknown): boolean {
  return error instanceof Error && error.message === 'Query read timeout';
}
