import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { ConfigError } from '@prequal/service';
import { z } from 'zod';

/** The registered document that a client names, by its text or by its hash; undefined when there is none. */
export type TrustedDocuments = (query: unknown, extensions: unknown) => string | undefined;

const fileFormat = z.record(z.string().regex(/^[0-9a-f]{64}$/), z.string());

const byHash = z.object({ persistedQuery: z.object({ sha256Hash: z.string() }) });

/** Reads the file of registered documents. Throws `ConfigError` when a hash is not that of its document. */
export async function readTrustedDocuments(path: string | undefined): Promise<TrustedDocuments | undefined> {
  if (path === undefined) return undefined;
  const registered = await readFile(path, 'utf8')
    .then((text) => fileFormat.parse(JSON.parse(text)))
    .catch(() => refuse('must name a JSON file: {"<sha256 of the document, hex>": "<document>"}'));
  const documents = new Map(Object.entries(registered));
  for (const [hash, document] of documents) {
    if (createHash('sha256').update(document).digest('hex') !== hash) refuse(`has a wrong hash: ${hash}`);
  }
  const texts = new Set(documents.values());
  return (query, extensions) => {
    const named = byHash.safeParse(extensions);
    if (named.success) return documents.get(named.data.persistedQuery.sha256Hash);
    return typeof query === 'string' && texts.has(query) ? query : undefined;
  };
}

function refuse(rule: string): never {
  throw new ConfigError(`The environment is not valid. Correct:\n  GATEWAY_TRUSTED_DOCUMENTS: ${rule}`);
}
