import { openConnection } from './connection.ts';
import { question, submission } from './documents.ts';
import { faults } from './faults.ts';

/** As many requests as the server answers, one at a time on each connection. */
export type Requests = { url: string; kind: 'submit' | 'query'; connections: number; seconds: number };

export type RequestsResult = { answered: number; seconds: number; faults: string[] };

const bodies = { submit: submission, query: question };

export async function runRequests({ url, kind, connections, seconds }: Requests): Promise<RequestsResult> {
  const wrong = faults();
  const opened = await Promise.all(Array.from({ length: connections }, () => openConnection(url)));
  const body = bodies[kind];
  const begunAt = performance.now();
  const endAt = begunAt + seconds * 1_000;
  let answered = 0;
  await Promise.all(
    opened.map(async ({ post }) => {
      while (performance.now() < endAt) {
        const { status, body: text } = await post(body());
        if (status === 200 && !text.includes('"errors"')) answered += 1;
        else wrong.note(`${status} ${text.slice(0, 300)}`);
      }
    }),
  ).catch((error: Error) => wrong.note(error.message));
  const took = (performance.now() - begunAt) / 1_000;
  for (const { close } of opened) close();
  return { answered, seconds: took, faults: wrong.list() };
}
