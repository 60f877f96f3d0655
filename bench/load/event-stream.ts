import { request } from 'node:http';
import { watchDocument } from './documents.ts';
import type { Update } from './watch-socket.ts';

/** One watcher over server-sent events, on a connection of its own. Answers how to leave. */
export function openEventStream(
  url: string,
  id: string,
  onUpdate: (update: Update) => unknown,
  onEnd: (fault?: string) => void,
): () => void {
  let left = false;
  const end = (fault: string) => {
    if (!left) onEnd(fault);
    left = true;
  };
  const asked = request(url, {
    method: 'POST',
    agent: false,
    headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
  });
  asked.on('error', ({ message }) => end(message));
  asked.on('response', (response) => {
    if (response.statusCode !== 200) end(`the stream was refused with ${response.statusCode}`);
    let text = '';
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => {
      text += chunk;
      for (let at = text.indexOf('\n\n'); at >= 0; at = text.indexOf('\n\n')) {
        const update = updateIn(text.slice(0, at));
        text = text.slice(at + 2);
        if (update) onUpdate(update);
      }
    });
    response.on('error', ({ message }) => end(message));
    response.on('close', () => end('the stream was cut'));
  });
  asked.end(JSON.stringify({ query: watchDocument, variables: { id } }));
  return () => {
    left = true;
    asked.destroy();
  };
}

/** Of an event; undefined for a heartbeat. */
function updateIn(event: string): Update | undefined {
  const data = /^data: ?(\{.*)$/m.exec(event)?.[1];
  if (data === undefined) return undefined;
  return (JSON.parse(data) as { data?: { applicationStatus?: Update } }).data?.applicationStatus;
}
