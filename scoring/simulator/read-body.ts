import type { IncomingMessage } from 'node:http';
import type { z } from 'zod';
import { maxBodyBytes } from '../src/bureau/protocol.ts';

/** `problems` name fields and rules and never a value, which may be a PAN. */
export class BadRequestError extends Error {
  override readonly name = 'BadRequestError';
  readonly problems: string[];
  constructor(problems: string[]) {
    super('the request is not valid');
    this.problems = problems;
  }
}

/** The body as `schema` reads it. Throws `BadRequestError`. */
export async function readBody<Schema extends z.ZodType>(
  request: IncomingMessage,
  schema: Schema,
): Promise<z.output<Schema>> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBodyBytes) throw new BadRequestError([`body: larger than ${maxBodyBytes} bytes`]);
    chunks.push(chunk);
  }
  let json: unknown;
  try {
    json = JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    throw new BadRequestError(['body: not JSON']);
  }
  const { success, data, error } = schema.safeParse(json);
  if (success) return data;
  throw new BadRequestError(error.issues.map(({ path, message }) => `${path.join('.') || 'body'}: ${message}`));
}
