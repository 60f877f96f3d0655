import { type Database, sql } from '@prequal/persistence';
import { type PolicyDocument, policyHash } from '@prequal/policy';

/** A stored version, as a decision names it. */
export type PolicyName = { version: string; hash: string };

export type ReadDocument = (policy: PolicyName) => Promise<PolicyDocument>;

/** The policies that are stored, by their hash: a document never changes, so each is read once. */
export function createDocuments(database: Database): ReadDocument {
  const documents = new Map<string, Promise<PolicyDocument>>();

  async function read({ version, hash }: PolicyName): Promise<PolicyDocument> {
    const { rows } = await sql<{ document: string }>`
      select document from policies where version = ${version}`.execute(database.sql());
    const document = rows[0]?.document;
    if (document === undefined) throw new Error(`policy ${version} is not stored`);
    if (policyHash(document) !== hash) throw new Error(`the document of policy ${version} does not have its hash`);
    return { hash, document };
  }

  return (name) => {
    const before = documents.get(name.hash);
    if (before) return before;
    const document = read(name);
    documents.set(name.hash, document);
    // What could not be read now may be there the next time.
    document.catch(() => documents.delete(name.hash));
    return document;
  };
}
