import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

type Asked = { method: string | undefined; url: string | undefined; headers: IncomingHttpHeaders; body: string };

/** A server for tests that remembers what it was asked, and answers as the test says. */
export type ScriptedBureau = AsyncDisposable & { url: string; asked: Asked[] };

export async function startScriptedBureau(
  answer: (response: ServerResponse, asked: Asked) => unknown,
): Promise<ScriptedBureau> {
  const asked: Asked[] = [];
  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const { method, url, headers } = request;
    const one = { method, url, headers, body: await text(request) };
    asked.push(one);
    await answer(response, one);
  };
  const server = createServer((request, response) => void handle(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** Answers what is true. */
export function answerScored(response: ServerResponse, { body }: Asked): void {
  const { applicationId } = JSON.parse(body) as { applicationId: string };
  response.writeHead(200).end(JSON.stringify({ applicationId, result: 'SCORED', score: 742 }));
}

export function answerStatus(response: ServerResponse, status: number): void {
  response.writeHead(status).end('{}');
}
